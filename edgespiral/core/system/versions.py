"""Versions of everything that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"
PACKAGES = ("torch", "torchvision", "onnx", "onnxruntime", "nni", "torch-pruning", "numpy")


def versions() -> dict[str, str]:
    """Version of Python, of EdgeSpiral and of each package, by name, and the platform.

    A package that is installed under another name (onnxruntime-gpu, say) is "unknown".
    """
    by_package = {name: _version(name) for name in PACKAGES}
    own = {"python": platform.python_version(), "edgespiral": __version__}
    return {**own, **by_package, "platform": platform.platform()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
