from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from example_pages import LEVELS, a_trend
from rich.console import Console

from edgespiral.gate.records import History, Trend
from edgespiral.gate.report.history import render_history, render_history_table, trend_chart


@pytest.fixture
def trend() -> Trend:
    return a_trend()


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
