from datetime import UTC, datetime, timedelta
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from edgespiral.core.records.measurement import Interval, Verdict
from edgespiral.gate.records import Break, History, HistoryPoint, Shift, Trend
from edgespiral.gate.report.history import render_history, render_history_table, trend_chart

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEVELS = (1.0, 1.0, 1.0, 1.1, 1.1, 1.1, 0.5)


@pytest.fixture
def trend() -> Trend:
    """Seven results: slower from the fourth on, another runtime at the seventh."""
    points = tuple(
        HistoryPoint(
            at=NOON + timedelta(hours=index),
            commit=f"{index}abcdef0123456789" if index else None,
            p50_ms=p50_ms,
            ci95_ms=Interval(low=p50_ms * 0.99, high=p50_ms * 1.01),
            change_percent=None if index else 2.25,
            verdict=Verdict.MET,
        )
        for index, p50_ms in enumerate(LEVELS)
    )
    return Trend(
        suite="detectors",
        target="orin",
        model="a <b>",
        points=points,
        shifts=(Shift(index=3, before_ms=1.0, after_ms=1.1),),
        breaks=(Break(index=6, differences=("runtime version was 1, is 2",)),),
    )


def test_the_chart_has_every_result_and_its_changes(trend: Trend) -> None:
    root = ET.fromstring(trend_chart("t", trend))
    circles = [element for element in root.iter() if element.tag == "circle"]
    assert len(circles) == len(LEVELS)
    assert circles[1][0].text == "1abcdef01234: 1.00 ms, met"
    assert circles[0][0].text == "2026-03-01 12:00 UTC: 1.00 ms, met"
    heights = [float(circle.attrib["cy"]) for circle in circles]
    assert heights[6] > heights[0] > heights[3]
    [change] = [e for e in root.iter() if e.attrib.get("class") == "budget"]
    assert float(circles[2].attrib["cx"]) < float(change.attrib["x1"])
    assert float(change.attrib["x1"]) < float(circles[3].attrib["cx"])
    levels = [e for e in root.iter() if e.attrib.get("class") == "step"]
    assert len(levels) == 3
    assert "+10.0 % from 3abcdef01234 on (1.00 to 1.10 ms)" in (root[1].text or "")


def test_the_page_tells_changes_and_escapes_names(trend: Trend) -> None:
    page = render_history(History(trends=(trend,)))
    assert "<h2>a &lt;b&gt;</h2>" in page
    assert "<b>slower:</b> +10.0 % from 3abcdef01234 on" in page
    assert "Measured otherwise from 6abcdef01234 on: runtime version was 1, is 2." in page
    assert page.count("<tr>") == 1 + len(LEVELS)
    assert '<td class="number">+2.2</td>' in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<script>") == page.count("<script") == 1


def test_one_result_is_a_trend_too(trend: Trend) -> None:
    alone = trend.model_copy(update={"points": trend.points[:1], "shifts": (), "breaks": ()})
    assert "No change of level." in render_history(History(trends=(alone,)))


def test_the_table_has_a_row_a_model(trend: Trend) -> None:
    console = Console(width=120, file=StringIO())
    console.print(render_history_table(History(trends=(trend,))), highlight=False)
    assert isinstance(console.file, StringIO)
    _, row, note = console.file.getvalue().splitlines()
    assert row.split() == ["detectors", "orin", "a", "<b>", "7", "1.00", "0.500", "1"]
    assert note.rstrip() == "a <b>: +10.0 % from 3abcdef01234 on (1.00 to 1.10 ms)"
