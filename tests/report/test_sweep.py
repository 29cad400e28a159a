from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET

from example_pages import DUE, SWEEP
from rich.console import Console

from edgespiral.report.sweep import print_sweep, status, sweep_csv, sweep_html


def test_each_run_is_told_by_what_became_of_it():
    assert [status(run) for run in SWEEP.runs] == ["met", "failed: it diverged", "not ended"]
    console = Console(file=io.StringIO(), width=100)
    print_sweep(console, SWEEP)
    lines = console.file.getvalue().splitlines()
    assert lines[1].split() == ["2.0", "met", "4.00", "96.50"]
    assert lines[2].split()[0] == "3.0"


def test_the_csv_has_a_row_for_each_run_on_each_target():
    rows = list(csv.DictReader(io.StringIO(sweep_csv(SWEEP))))
    assert [row["run"] for row in rows] == ["speedup-2", "b", "c"]
    assert (rows[0]["target"], float(rows[0]["latency_ms"])) == ("board <1>", 4.0)
    assert (rows[1]["problem"], rows[1]["exit_code"], rows[1]["target"]) == ("it diverged", "9", "")


def test_the_page_has_a_picture_for_each_target_and_escapes_names():
    page = sweep_html(SWEEP)
    assert "board &lt;1&gt;" in page
    assert "board <1>" not in page
    assert "://" not in page
    drawing = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    assert [circle.get("class") for circle in drawing.iter("circle")] == ["student"]


def test_a_sweep_without_results_has_a_page():
    none = SWEEP.model_copy(update={"metric": None, "points": (), "runs": (DUE,)})
    assert "not ended" in sweep_html(none)
