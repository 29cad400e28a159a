"""The `[runtime]` table of ONNX Runtime's Python package."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgespiral.measure.settings import Affinity, Count, NonEmpty, RuntimeSettings


class OnnxRuntimeSettings(RuntimeSettings):
    """ONNX Runtime, driven by the Python that the transport names."""

    kind: Literal["onnxruntime"]
    threads: Count = 1
    affinity: Affinity | None = None
    provider: NonEmpty = "CPUExecutionProvider"
    provider_options: dict[str, str] = Field(default_factory=dict)
