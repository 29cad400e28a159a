import inspect
import re
from enum import IntEnum
from pathlib import Path

import pytest

from edgespiral.core import errors
from edgespiral.core.errors import (
    EdgeSpiralError,
    ExitCode,
    GateCode,
    MissingExtraError,
    UsageError,
    first_few,
    unknown_name,
)

ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, EdgeSpiralError) and kind is not EdgeSpiralError
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "exit-codes.md"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UsageError("no budget"), "no budget"),
        (UsageError("must be > 0", where="plan.toml:epochs"), "plan.toml:epochs: must be > 0"),
        (UsageError("no such file", where="a.pt", hint="train"), "a.pt: no such file; train"),
    ],
)
def test_an_error_is_one_line_of_place_problem_and_advice(
    error: EdgeSpiralError, line: str
) -> None:
    assert str(error) == line


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    error = MissingExtraError("a phone as target", "android")
    assert "pip install 'edgespiral[android]'" in str(error)
    assert error.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("kind", ERRORS)
def test_no_error_that_a_user_can_mend_looks_like_success_or_a_defect(
    kind: type[EdgeSpiralError],
) -> None:
    assert kind.exit_code not in (ExitCode.OK, ExitCode.INTERNAL)


@pytest.mark.parametrize(
    ("heading", "codes"), [("# Exit codes", ExitCode), ("`edgespiral bench`", GateCode)]
)
def test_every_exit_code_is_documented_and_every_documented_code_exists(
    heading: str, codes: type[IntEnum]
) -> None:
    sections = DOCUMENT.read_text(encoding="utf-8").split("\n## ")
    (text,) = (section for section in sections if section.startswith(heading))
    rows = ", ".join(re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE))
    # Signals end a command with 128 and their number.
    signals = {129, 143} if codes is ExitCode else set()
    assert sorted(map(int, rows.split(", "))) == sorted({*codes, *signals})


@pytest.mark.parametrize(
    ("names", "shown"),
    [([], ""), (["a", "b", "c"], "a, b, c"), (list("abcde"), "a, b, c and 2 more")],
)
def test_a_long_list_stays_a_line(names: list[str], shown: str) -> None:
    assert first_few(names) == shown


@pytest.mark.parametrize("name", ["circel", "CIRCLE", "circles"])
def test_an_unknown_name_is_answered_with_the_nearest(name: str) -> None:
    error = unknown_name("shape", name, ["circle", "square"])
    assert str(error) == f"unknown shape '{name}'; did you mean circle?"


def test_a_name_near_nothing_is_answered_with_all() -> None:
    assert str(unknown_name("shape", "xyz", ["b", "a"])) == "unknown shape 'xyz'; known: a, b"
    many = unknown_name("shape", "xyz", (f"{number:02d}" for number in range(15)))
    assert str(many).endswith(" 11 and 3 more")
