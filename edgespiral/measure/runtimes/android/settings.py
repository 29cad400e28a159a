"""The `[runtime]` table of ONNX Runtime's `onnxruntime_perf_test`."""

from __future__ import annotations

from typing import Literal

from edgespiral.measure.runtimes.native.settings import NativeSettings


class AndroidSettings(NativeSettings):
    """ONNX Runtime's own `onnxruntime_perf_test`, built for the device by the user."""

    kind: Literal["android"]
    provider: Literal[
        "CPUExecutionProvider",
        "XnnpackExecutionProvider",
        "NnapiExecutionProvider",
        "QNNExecutionProvider",
        "ACLExecutionProvider",
    ] = "CPUExecutionProvider"
