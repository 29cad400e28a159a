"""TensorRT for RTX: builds engines for GPUs of one compute capability, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.tensorrt_rtx.settings import TensorRtRtxSettings

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: TensorRtRtxSettings, *, name: str, on_host: bool) -> Runtime:
    from edgespiral.measure.runtimes.tensorrt_rtx.runtime import TensorRtRtx

    return TensorRtRtx(name, settings.compute_capability, on_host=on_host)


def _capabilities(_settings: TensorRtRtxSettings) -> Capabilities:
    return Capabilities(int8_form="tensorrt", times=False, builds=True)


PLUGIN = RuntimePlugin(TensorRtRtxSettings, _make, _capabilities)
