"""Tables of target profiles: what all have in common, and what runtimes and transports extend."""

from __future__ import annotations

import os
import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PlainValidator, ValidationInfo, field_validator

from edgespiral.core.records.schema import Precision, Record

# Asks for a profile whose unset variables are left as they are written, to show it.
AS_WRITTEN = {"unset variables": "as written"}
EXAMPLES = {"host": "user@address"}
FROM_ENVIRONMENT = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")

Count = Annotated[int, Field(ge=1)]
NonEmpty = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
# Eleven days: what waits for longer waits in vain, and clocks count no further than some weeks.
MOST_SECONDS = 10**6
Seconds = Annotated[float, Field(gt=0, le=MOST_SECONDS)]
WholeSeconds = Annotated[int, Field(ge=1, le=MOST_SECONDS)]
Milliseconds = Annotated[float, Field(gt=0, le=1000 * MOST_SECONDS)]


def cores(value: object) -> object:
    """A profile's `affinity`: "big", or a tuple of the cores' numbers."""
    numbers = value if isinstance(value, list | tuple) else ()
    if numbers and all(isinstance(number, int) and number >= 0 for number in numbers):
        return tuple(numbers)
    if value != "big":
        raise ValueError('must be "big" or a list of core numbers, as [4, 5]')
    return value


Affinity = Annotated[tuple[int, ...] | Literal["big"], PlainValidator(cores)]


class Section(Record):
    """A table of a profile. A value that is `$NAME` is taken from the environment."""

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

    @field_validator("*", mode="before")
    @classmethod
    def _from_environment(cls, value: object, info: ValidationInfo) -> object:
        named = FROM_ENVIRONMENT.fullmatch(value) if isinstance(value, str) else None
        if named is None:
            return value
        if named[1] not in os.environ:
            if info.context == AS_WRITTEN:
                return value
            example = EXAMPLES.get(str(info.field_name), "...")
            raise ValueError(
                f"the environment has no variable {named[1]} (export {named[1]}={example})"
            )
        return os.environ[named[1]]


class RuntimeSettings(Section):
    """What every `[runtime]` table has; a runtime's own settings extend it.

    Attributes:
        kind: the plug-in's name.
        precision: that students are to ship in where a plan names none.
    """

    kind: str
    precision: Precision = "fp32"

    @property
    def float_precision(self) -> str:
        """What a float32 file is computed in, in words."""
        return "fp32"


class TransportSettings(Section):
    """What every `[transport]` table has; a transport's own settings extend it.

    Attributes:
        kind: the plug-in's name.
        timeout_s: the longest time that one command may take.
    """

    kind: str
    timeout_s: Seconds = 600


class ShellSettings(TransportSettings):
    """A device with a POSIX shell, which may be lost and found again."""

    python: NonEmpty = "python3"
    workdir: NonEmpty = "/tmp"  # noqa: S108 (a private folder is made below it)
    connect_timeout_s: WholeSeconds = 10
    retry_s: Annotated[float, Field(ge=0, le=MOST_SECONDS)] = 300
