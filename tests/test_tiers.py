"""Tests are sorted into tiers by what they ask for and where they are."""

import runpy
from pathlib import Path

import pytest
import tiers
from tiers import LONGEST, QUICK, place, tier

NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize("name", QUICK + LONGEST)
def test_every_place_of_a_tier_is_there(name: str) -> None:
    assert (Path(__file__).parent / name).exists()


@pytest.mark.parametrize(
    ("path", "fixtures", "marks", "expected"),
    [
        ("core/test_plan.py", NONE, NONE, "quick"),
        ("core/test_plan.py", NONE, frozenset({"slow"}), None),
        ("core/test_plan.py", NONE, frozenset({"faults"}), None),
        ("core/test_plan.py", frozenset({"board", "tmp_path"}), NONE, "device"),
        ("measure/test_agent.py", frozenset({"phone"}), NONE, "device"),
        ("spiral/test_run_over_ssh.py", frozenset({"board"}), NONE, "device"),
        ("spiral/test_run.py", NONE, NONE, "slow"),
        ("report/test_in_browser.py", frozenset({"browser"}), NONE, "slow"),
        ("gate/test_run.py", NONE, NONE, None),
    ],
)
def test_a_tier_follows_from_place_fixtures_and_marks(
    path: str, fixtures: frozenset[str], marks: frozenset[str], expected: str | None
) -> None:
    assert tier(Path(path), fixtures, marks) == expected


def test_the_paths_of_quick_tests_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(tiers.__file__, run_name="__main__")
    paths = capsys.readouterr().out.split()
    assert [str(Path("tests", name)) for name in QUICK] == paths
    makefile = Path(__file__).parents[1] / "Makefile"
    assert "-m quick $$($(BIN)/python tests/tiers.py)" in makefile.read_text()


def test_what_takes_longest_begins() -> None:
    files = ["core/test_plan.py", "test_api.py", "spiral/test_run.py", "faults/test_faults.py"]
    assert sorted(files, key=lambda file: place(Path(file))) == files[::-1]
