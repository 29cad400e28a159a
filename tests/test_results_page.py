"""docs/results.md says what the benches wrote down, and by how much an aim was missed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`bench/results_page.py` as its command has it."""
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setattr(sys, "argv", ["results_page.py", "--check"])
    return importlib.import_module("results_page")


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("field_summary")


def row(name: str, test: float, **other: Any) -> dict[str, Any]:
    return {
        "network": "ResNet-56, CIFAR-10",
        "row": name,
        "seed": 0,
        "epochs": 5.0,
        "asked": 2.0,
        "teacher_test_percent": 93.4,
        "reached": True,
        "speedup": 2.06,
        "test_percent": test,
        "wall_s": 100.0,
        "search_s": 0.0,
        **other,
    }


def test_the_page_is_what_the_results_say(page: ModuleType) -> None:
    page.main()


def test_a_figure_that_nobody_measured_is_refused(
    page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "results.md"
    text = page.PAGE.read_text(encoding="utf-8")
    assert text.count("93.03 ± 0.11") == 1
    other.write_text(text.replace("93.03 ± 0.11", "93.30 ± 0.11"), encoding="utf-8")
    monkeypatch.setattr(page, "PAGE", other)
    with pytest.raises(SystemExit, match=r"python bench/results_page\.py"):
        page.main()
    monkeypatch.setattr(sys, "argv", ["results_page.py"])
    page.main()
    assert other.read_text(encoding="utf-8") == text


def test_an_aim_that_was_missed_says_by_how_much(summary: ModuleType) -> None:
    rows = [
        row("ours", 92.4),
        row("ours", 92.6, seed=1),
        # Longer than the aim allows, and another row than ours.
        row("ours", 93.9, epochs=100.0),
        row("uniform l1", 93.9),
        row("ours", 93.2, asked=3.0, speedup=3.1),
    ]
    lines = summary.aims_markdown(rows).splitlines()
    assert lines[2] == "| ResNet-56, CIFAR-10 | 2x | 93.7 | 92.50 | 5 | 1.20 points |"
    assert lines[3].endswith("| 93.0 | 93.20 | 5 | reached |")
    assert lines[4].endswith("| 92.3 | not run |  |  |")


def test_the_field_s_table_has_means_spreads_and_what_no_cut_reaches(summary: ModuleType) -> None:
    rows = [
        row("taylor", 91.0, search_s=12.0),
        row("ours", 92.4),
        row("ours", 92.6, seed=1),
        {key: value for key, value in row("isomorphic", 0.0).items() if key != "speedup"}
        | {"reached": False, "fastest": 1.7, "asked": 4.0},
    ]
    lines = summary.markdown(rows).splitlines()
    head = "| ResNet-56, CIFAR-10 |"
    assert lines[2] == f"{head} 2x | **ours** | 5 | 2 | 2.06x | 92.50 ± 0.10 | 0.90 | 100 | in it |"
    assert lines[3] == f"{head} 2x | taylor | 5 | 1 | 2.06x | 91.00 | 2.40 | 100 | 12 |"
    assert lines[4] == f"{head} 4x | isomorphic | 5 |  | 1.70x at most | out of reach |  |  |  |"


def test_what_was_trained_for_several_lengths_is_a_curve(
    page: ModuleType, summary: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        row("ours", 91.7, epochs=2.0),
        row("ours", 92.5),
        row("taylor", 90.0),
        row("int8 alone", 93.1, asked=None),
    ]
    points = [(line["row"], line["epochs"]) for line in summary.curves_of(rows)]
    assert points == [("ours", 2.0), ("ours", 5.0)]
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    page.draw_curves(rows[1:])
    assert not list(tmp_path.iterdir())
    page.draw_curves(rows)
    drawn = (tmp_path / "field_epochs.svg").read_text(encoding="utf-8")
    assert "epochs of training" in drawn
    assert "ResNet-56, CIFAR-10, 2x" in drawn
    assert drawn.count("<circle") == 3  # two points, and the legend's


def test_recipes_are_held_against_the_default_of_the_same_seeds(page: ModuleType) -> None:
    rows = [
        {"recipe": "default", "seed": 0, "validation_percent": 90.0},
        {"recipe": "default", "seed": 1, "validation_percent": 92.0},
        {"recipe": "mixup", "seed": 1, "validation_percent": 91.5},
    ]
    assert page._gain("mixup", rows) == pytest.approx(-0.5)
    with pytest.raises(SystemExit, match="no default beside 'mixup'"):
        page._gain("mixup", [rows[0], rows[2]])
