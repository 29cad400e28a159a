from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from edgespiral.core.option import NEEDED, Option
from edgespiral.spiral.plan.field import plan_field, plan_options, takes


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, "text"),
        (Literal["a", "b"] | None, "text"),
        (Annotated[str, Field(min_length=1)], "text"),
        (str | tuple[str, ...], "texts"),
        (Path | None, "path"),
        (Annotated[int, Field(ge=2)], "int"),
        (float | None, "float"),
        (bool, "switch"),
        (int | Literal["auto"], "number-or-word"),
        (float | Literal["none", "2:4"], "number-or-word"),
        (int | float | None, "number-or-word"),
        (float | dict[str, float] | None, "budget"),
    ],
)
def test_a_type_says_what_the_command_line_reads(annotation: object, expected: str) -> None:
    assert takes(annotation) == expected


@pytest.mark.parametrize("annotation", [bytes, list[int], int | bytes, int | Path])
def test_a_type_that_no_option_takes_is_refused(annotation: object) -> None:
    with pytest.raises(TypeError, match=r"no option takes .*; teach edgespiral/cli/options\.py"):
        takes(annotation)


def test_defaults_are_shown_as_a_person_writes_them() -> None:
    class Asked(BaseModel):
        level: int = Field(default=1)
        name: str = plan_field("", "A name.", shown=NEEDED)
        rate: float | None = plan_field(None, "A rate.", pages="[a.md](a.md)")
        mirror: bool = plan_field(False, "Mirrored.", group="Views")
        count: int = plan_field(3, "How many.", metavar="N")

    assert plan_options(Asked) == [
        Option(name="name", takes="text", help="A name.", default="needed"),
        Option(name="rate", takes="float", help="A rate.", pages="[a.md](a.md)"),
        Option(name="mirror", takes="switch", help="Mirrored.", default="no-mirror", group="Views"),
        Option(name="count", takes="int", help="How many.", default="3", metavar="N"),
    ]
