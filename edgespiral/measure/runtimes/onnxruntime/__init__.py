"""ONNX Runtime, driven by the Python that the transport names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import RuntimePlugin, onnxruntime_capabilities
from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Kit
    from edgespiral.measure.runtimes.base import Capabilities, Runtime


def _make(settings: OnnxRuntimeSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime

    return OnnxRuntime(settings)


def _make_outputs(settings: OnnxRuntimeSettings) -> Runtime:
    from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime

    return OnnxRuntime(settings)


def _capabilities(settings: OnnxRuntimeSettings) -> Capabilities:
    return onnxruntime_capabilities(settings.provider)


def _kit(fingerprint: Fingerprint) -> Kit:
    from edgespiral.measure.runtimes.onnxruntime.kit import kit

    return kit(fingerprint)


PLUGIN = RuntimePlugin(
    OnnxRuntimeSettings,
    _make,
    _capabilities,
    _make_outputs,
    race=lambda settings: {"fp32": settings},
    kit=_kit,
)
