"""LiteRT's own `benchmark_model`, which the user brings; for devices without Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.litert_native.settings import LiteRtNativeSettings

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: LiteRtNativeSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.litert_native.runtime import LiteRtNative

    return LiteRtNative(settings)


def _make_outputs(settings: LiteRtNativeSettings) -> Runtime:
    from edgespiral.measure.runtimes.litert_native.runtime import LiteRtNative

    return LiteRtNative(settings)


def _capabilities(settings: LiteRtNativeSettings) -> Capabilities:  # noqa: ARG001
    return Capabilities(precisions=("fp32",), layers=False, needs="module", has_python=False)


PLUGIN = RuntimePlugin(LiteRtNativeSettings, _make, _capabilities, _make_outputs)
