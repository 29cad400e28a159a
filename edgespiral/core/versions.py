"""Versions of everything that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import edgespiral

PACKAGES = ("torch", "torchvision", "onnx", "onnxruntime", "nni", "torch-pruning")


def versions() -> dict[str, str]:
    """Version of Python, of EdgeSpiral and of each package, by name."""
    found = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "edgespiral": edgespiral.__version__, **found}
