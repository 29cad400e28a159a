"""The `[runtime]` table of ONNX Runtime's `onnxruntime_perf_test`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgespiral.measure.settings import Affinity, Count, NonEmpty, RuntimeSettings


class AndroidSettings(RuntimeSettings):
    """ONNX Runtime's own `onnxruntime_perf_test`, built for the device by the user."""

    kind: Literal["android"]
    binary: NonEmpty
    libraries: list[NonEmpty] = Field(default_factory=list)
    threads: Count = 1
    affinity: Affinity = "big"
    provider: Literal[
        "CPUExecutionProvider",
        "XnnpackExecutionProvider",
        "NnapiExecutionProvider",
        "QNNExecutionProvider",
        "ACLExecutionProvider",
    ] = "CPUExecutionProvider"
