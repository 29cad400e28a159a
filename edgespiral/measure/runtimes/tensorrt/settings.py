"""The `[runtime]` table of TensorRT."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgespiral.core.records.schema import Precision
from edgespiral.measure.settings import Count, NonEmpty, RuntimeSettings


class TensorRtSettings(RuntimeSettings):
    """TensorRT through the device's own `trtexec`."""

    kind: Literal["tensorrt"]
    precision: Precision = "fp16"
    strongly_typed: bool = False
    trtexec: NonEmpty | None = None
    dla_core: Annotated[int, Field(ge=0)] | None = None
    sparsity: bool = False
    workspace_mib: Count | None = None
    cuda_graph: bool = True
    data_transfers: bool = False
