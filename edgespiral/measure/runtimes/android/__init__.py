"""ONNX Runtime's own `onnxruntime_perf_test`, built for the device by the user."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.android.settings import AndroidSettings
from edgespiral.measure.runtimes.base import RuntimePlugin, onnxruntime_capabilities

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.base import Capabilities, Runtime


def _make(settings: AndroidSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.android.runtime import AndroidPerfTest

    return AndroidPerfTest(settings)


def _capabilities(settings: AndroidSettings) -> Capabilities:
    return replace(onnxruntime_capabilities(settings.provider), has_python=False)


PLUGIN = RuntimePlugin(AndroidSettings, _make, _capabilities)
