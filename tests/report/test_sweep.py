from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET

from rich.console import Console

from edgespiral.core.records.comparing.sweep import Sweep, SweptDevice, SweptPoint, SweptRun
from edgespiral.core.records.events import Outcome
from edgespiral.core.records.measurement import Interval
from edgespiral.core.records.metric import Metric
from edgespiral.report.sweep import print_sweep, status, sweep_csv, sweep_html

SPAN = Interval(low=3.9, high=4.1)
DEVICE = SweptDevice(target="board <1>", latency_ms=4.0, ci95_ms=SPAN, speedup=2.0)
MET = SweptRun(
    name="speedup-2",
    folder="out/speedup-2",
    values={"speedup": 2.0},
    outcome=Outcome.MET,
    exit_code=0,
    test_score=96.5,
    devices=(DEVICE,),
)
FAILED = SweptRun(
    name="b", folder="out/b", values={"speedup": 3.0}, problem="it diverged", exit_code=9
)
DUE = SweptRun(name="c", folder="out/c", values={"speedup": 4.0})
POINT = SweptPoint(
    target="board <1>",
    values={"speedup": 2.0},
    runs=("speedup-2",),
    latency_ms=4.0,
    latency_ci95_ms=SPAN,
    score=96.5,
    score_ci95=Interval(low=95.0, high=98.0),
    size_bytes=1000.0,
    on_front=True,
)
SWEEP = Sweep(
    plan={"model": "net", "data": "digits"},
    vary={"speedup": (2.0, 3.0, 4.0)},
    metric=Metric(name="accuracy"),
    runs=(MET, FAILED, DUE),
    points=(POINT,),
    command="edgespiral sweep sweep.toml --out out",
)


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
