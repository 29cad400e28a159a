"""Compress a trained PyTorch model until it measurably meets a latency budget on its device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgespiral.api import compress, export_model, load_model, measure_models

# Before ONNX Runtime is loaded, here or in a process that inherits this: it would send what it
# learns of the machine, keep an identity of it and write through links in the temporary folder.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
__all__ = ["__version__", "compress", "export_model", "load_model", "measure_models"]


def __getattr__(name: str) -> object:
    # Lazy, because the functions need PyTorch and `edgespiral --help` does not (PEP 562). None of
    # them is named like a subpackage, whose import would take its name's place.
    if name in __all__:
        from edgespiral import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
