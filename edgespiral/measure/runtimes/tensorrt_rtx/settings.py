"""The `[runtime]` table of TensorRT for RTX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgespiral.measure.settings import RuntimeSettings


class TensorRtRtxSettings(RuntimeSettings):
    """TensorRT for RTX: engines have the types of their files, so there is no other precision."""

    kind: Literal["tensorrt-rtx"]
    precision: Literal["fp32"] = "fp32"
    compute_capability: Annotated[str, Field(pattern=r"^\d{1,2}\.\d$")]
