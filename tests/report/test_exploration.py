from __future__ import annotations

import io
import xml.etree.ElementTree as ET

from example_records import an_exploration, explored_point, measurement
from rich.console import Console

from edgespiral.core.records.comparing.exploration import Estimate
from edgespiral.core.records.events import TrainedCut
from edgespiral.core.records.measurement import Interval
from edgespiral.core.records.metric import Metric
from edgespiral.report.exploration import (
    exploration_html,
    front_chart,
    predicted,
    print_exploration,
    remarks,
    role,
)

CUT = TrainedCut(run="a", turn=1, epochs=4, divergence_nats=0.1, weight_share=0.5, lost=0.3)


KNEE = explored_point(1, 6.0, 0.25, knee=True, next_tenth_nats=0.75)
BEATEN = explored_point(2, 5.0, 2.0, on_front=False)
LAST = explored_point(
    3, 4.0, 1.5, predicted_drop=Estimate(value=1.2, ci95=Interval(low=0.2, high=2.2))
)


def exploration(**fields):
    return an_exploration(KNEE, BEATEN, LAST, **fields)


def printed(record):
    console = Console(file=io.StringIO(), width=140)
    print_exploration(console, record)
    return console.file.getvalue()


def test_a_point_is_told_by_what_it_is_on_the_front():
    assert [role(p) for p in (KNEE, BEATEN, LAST)] == ["knee", "beaten", ""]


def test_the_table_has_every_point_with_what_ten_percent_more_would_cost():
    lines = printed(exploration()).splitlines()
    assert lines[1].split()[:2] == ["1", "6.00"]
    assert "+0.75" in lines[1]
    assert lines[1].rstrip().endswith("knee")
    assert lines[2].rstrip().endswith("beaten")


def test_a_predicted_drop_has_its_interval():
    assert predicted(LAST, Metric(name="accuracy")) == "1.20 points (0.20 to 2.20)"
    two = explored_point(1, 6.0, 0.2, predicted_drop=Estimate(value=0.5))
    assert predicted(two, Metric(name="MAE", unit="mm")) == "0.50 mm"


def test_what_the_figures_rest_on_is_said():
    assert remarks(exploration()) == [
        "no finished run of this teacher says what a nat costs in accuracy %"
    ]
    said = remarks(exploration(calibrated_on=(CUT, CUT), out_of_reach_ms=(2.0,), complete=False))
    assert said[0].endswith("from trained cuts: 2, of finished runs: 1")
    assert said[1] == "out of reach for a cut of one turn: 2.00 ms"
    assert "--resume" in said[2]


def test_the_picture_has_a_mark_for_each_point_and_the_teacher():
    drawing = ET.fromstring(str(front_chart(exploration())))
    kinds = [circle.get("class") for circle in drawing.iter("circle")]
    assert kinds == ["teacher", "best", "dominated", "student"]
    assert "point 1 0.25 nats in 6.00 ms, a knee" in drawing.findtext("desc", "")


def test_the_page_escapes_names_and_fetches_nothing():
    page = exploration_html(exploration())
    assert "net.py:&lt;net&gt;" in page
    assert "conv&lt;1&gt;" in page
    assert "<net>" not in page
    assert "://" not in page
    assert page.count("<script>") == page.count("<script") == 1


def test_each_device_has_its_column_where_there_are_several():
    several = exploration(teacher=(measurement(8.0), measurement(9.0, target="board")))
    assert "board, ms" in exploration_html(several)
    assert "host-cpu, ms" not in exploration_html(exploration())


def test_an_exploration_without_points_has_a_page():
    assert "Out of reach" in exploration_html(an_exploration(out_of_reach_ms=(2.0,)))
