"""What all records have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edgespiral.core.text import is_printable, printable

PositiveMs = Annotated[float, Field(gt=0)]
# Of a task's metric, in its unit.
Score = float
Precision = Literal["fp32", "fp16", "int8"]
# How int8 files are written, by whose kernels they are for.
Int8Form = Literal["tensorrt", "onnxruntime"]
Sparsity = float | Literal["none", "2:4"]


def one_line(text: str) -> str:
    """`text`, if it has no line break and nothing that a terminal or a CI acts upon.

    Raises:
        ValueError: it has some.
    """
    if not is_printable(text):
        raise ValueError(f"has control characters: {printable(text)}")
    return text


# What a person names a thing: no line breaks, and nothing that a terminal or a CI acts upon.
Line = Annotated[str, AfterValidator(one_line)]
# What a device or a file calls itself: told with such characters written out.
Told = Annotated[str, AfterValidator(printable)]


def now_utc() -> datetime:
    """The present time, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


class Record(BaseModel):
    """A frozen record: unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
