"""The README's figures are those that a bench wrote down."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What its rows are called in the bench.
ROWS = {
    "EdgeSpiral": "ours",
    "NNI, the same share everywhere by L1": "nni uniform l1",
    "Torch-Pruning, the same share everywhere by L1": "torch-pruning uniform l1",
    "Torch-Pruning, global by Taylor": "torch-pruning global taylor",
    "a narrower network from random weights": "slim from scratch",
}
ROW = re.compile(r"^\| ([^|]+) \| ([\d.* ]+) \| ([\d.* ]+) \| ([\d.* ]+) \|$", re.MULTILINE)


def figures(page: str) -> dict[str, list[float]]:
    """The numbers of each row, by what the row is called."""
    return {
        name.strip("* "): [float(cell.strip("* ")) for cell in cells]
        for name, *cells in ROW.findall(page)
    }


@pytest.fixture(scope="module")
def measured() -> dict[str, list[float]]:
    summary = json.loads((ROOT / "bench/results/pareto.json").read_text("utf-8"))["summary"]
    points = {
        (row["row"], row["point"]): round(row["mean_test_percent"], 2)
        for row in summary
        if row["model"] == "resnet20"
    }
    return {
        name: [points[row, speedup] for speedup in (2.0, 3.0, 4.0)] for name, row in ROWS.items()
    }


def test_the_table_against_peers_is_what_was_measured(measured: dict[str, list[float]]) -> None:
    assert figures(README) == measured


def test_a_seed_that_collapsed_is_told() -> None:
    summary = json.loads((ROOT / "bench/results/pareto.json").read_text("utf-8"))["summary"]
    collapsed = [row for row in summary if row["model"] == "resnet20" and row["collapsed"]]
    assert [(row["row"], row["point"], row["seeds"]) for row in collapsed] == [
        ("torch-pruning global taylor", 4.0, 2)
    ]
    assert "86.44 *" in README
    assert "of two seeds; the third collapsed" in README


def test_a_figure_that_nobody_measured_would_be_seen(measured: dict[str, list[float]]) -> None:
    assert figures("| **EdgeSpiral** | **93.9** | 1 | 2 * |\n") == {"EdgeSpiral": [93.9, 1.0, 2.0]}
    assert figures(README.replace("93.03", "93.30")) != measured


def test_its_picture_is_there() -> None:
    pictures = re.findall(r'<img src="([^"]+)"', README)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)


def test_the_table_of_tasks_is_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    from task_tables import write_page

    rows = json.loads((ROOT / "bench/results/tasks.json").read_text("utf-8"))["rows"]
    for page in (ROOT / "README.md", ROOT / "docs/tasks.md"):
        copy = tmp_path / page.name
        copy.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
        write_page(copy, rows)
        assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    rows[0] = {**rows[0], "score": rows[0]["score"] - 5, "row": "ours", "asked": 2.0}
    write_page(copy, rows)
    assert copy.read_text(encoding="utf-8") != page.read_text(encoding="utf-8")
