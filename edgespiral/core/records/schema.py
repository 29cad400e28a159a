"""What all records have in common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
Printable = Annotated[str, AfterValidator(printable)]


def now_utc() -> datetime:
    """The present time, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


# Clocks of two machines differ, and so may what they take for the time zone.
CLOCKS_DIFFER = timedelta(days=1)


def not_in_the_future(moment: datetime) -> datetime:
    """`moment`, if it is not yet to come; one without a time zone is in UTC.

    Raises:
        ValueError: it is, so nobody has written it down then.
    """
    in_utc = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if in_utc - datetime.now(UTC) > CLOCKS_DIFFER:
        raise ValueError(f"{in_utc.isoformat(' ', 'minutes')} is in the future")
    return in_utc


# When something was done.
Moment = Annotated[datetime, AfterValidator(not_in_the_future)]


def own_name(name: str) -> str:
    """`name`, if it is that of a file right in a folder.

    Raises:
        ValueError: it leads elsewhere.
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"is no name of a file in that folder: {printable(name)}")
    return name


# SHA-256 by name, of files that lie in one folder.
Hashes = dict[Annotated[str, AfterValidator(own_name)], str]


class Record(BaseModel):
    """A frozen record: unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
