"""What all records have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PositiveMs = Annotated[float, Field(gt=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Precision = Literal["fp32", "fp16", "int8"]
Sparsity = float | Literal["none", "2:4"]


def now_utc() -> datetime:
    """The present time, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


class Record(BaseModel):
    """A frozen record: unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
