"""TensorRT through the device's own `trtexec`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.tensorrt.settings import TensorRtSettings

if TYPE_CHECKING:
    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: TensorRtSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.tensorrt.runtime import TensorRt

    return TensorRt(settings)


def _capabilities(settings: TensorRtSettings) -> Capabilities:
    """It makes fp16 of fp32 files itself, where that is asked for, unless they are strongly typed.

    It has kernels for 2:4 sparsity, which the builder uses where it is told to (NVIDIA TensorRT
    Developer Guide, "Sparsity").
    """
    own: Precision = "fp32" if settings.precision == "fp32" else "fp16"
    return Capabilities(
        precisions=("fp32", "fp16", "int8") if settings.strongly_typed else (own, "int8"),
        int8_form="tensorrt",
        builds=True,
        sparse_kernels="on" if settings.sparsity else "off",
        overlap=4.0,
    )


PLUGIN = RuntimePlugin(TensorRtSettings, _make, _capabilities)
