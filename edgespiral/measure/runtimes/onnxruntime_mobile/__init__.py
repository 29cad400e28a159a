"""ONNX Runtime on files in its mobile format, `.ort`, which are converted here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.onnxruntime_mobile.settings import OnnxRuntimeMobileSettings

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Kit
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: OnnxRuntimeMobileSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.onnxruntime_mobile.runtime import OnnxRuntimeMobile

    return OnnxRuntimeMobile(settings, on_host=on_host)


def _make_outputs(settings: OnnxRuntimeMobileSettings) -> Runtime:
    from edgespiral.measure.runtimes.onnxruntime_mobile.runtime import OnnxRuntimeMobile

    return OnnxRuntimeMobile(settings, on_host=False)


def _capabilities(settings: OnnxRuntimeMobileSettings) -> Capabilities:  # noqa: ARG001
    return Capabilities(precisions=("fp32", "int8"))


def _kit(fingerprint: Fingerprint) -> Kit:
    from edgespiral.measure.runtimes.onnxruntime_mobile.kit import kit

    return kit(fingerprint)


# Its kernels are those of `onnxruntime`, so it has no place of its own among all in a race.
PLUGIN = RuntimePlugin(OnnxRuntimeMobileSettings, _make, _capabilities, _make_outputs, kit=_kit)
