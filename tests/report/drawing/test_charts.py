from xml.etree import ElementTree as ET

import pytest
from example_pages import a_race

from edgespiral.core.records.events import Baseline, Event
from edgespiral.report.drawing.charts import race_chart, samples_chart, score_chart, widths_chart
from edgespiral.report.html import races_html
from edgespiral.report.run import Run


def of_class(image: str, tag: str, name: str) -> list[dict[str, float]]:
    found = [e for e in ET.fromstring(image).iter(tag) if name in str(e.get("class")).split()]
    return [{k: float(v) for k, v in e.items() if k not in {"class", "d"}} for e in found]


def parts(events: list[Event]) -> tuple[Run, Baseline]:
    run = Run.of(events)
    assert run.baseline is not None
    return run, run.baseline


def test_the_chosen_turn_lies_left_of_the_budget_and_above_the_floor(met: list[Event]) -> None:
    image = score_chart(*parts(met))
    [best] = of_class(image, "circle", "best")
    [budget] = of_class(image, "line", "budget")
    [floor] = of_class(image, "line", "floor")
    [missed] = of_class(image, "circle", "student")
    assert best["cx"] < budget["x1"] < missed["cx"]
    assert missed["cy"] < best["cy"] < floor["y1"]


def test_every_mark_is_inside_the_image(met: list[Event]) -> None:
    run, baseline = parts(met)
    for image in (
        score_chart(run, baseline),
        samples_chart(baseline.devices[0], run.student_latency),
    ):
        root = ET.fromstring(image)
        width, height = map(float, str(root.get("viewBox")).split()[2:])
        for mark in root.iter():
            for key, limit in (("x", width), ("x1", width), ("cx", width), ("cy", height)):
                assert 0 <= float(mark.get(key, 0)) <= limit


def test_candidates_far_below_the_budget_are_left_out(met: list[Event]) -> None:
    assert len(of_class(score_chart(*parts(met)), "line", "tried")) == 4


def test_sample_curves_rise_from_none_to_almost_all(met: list[Event]) -> None:
    run, baseline = parts(met)
    root = ET.fromstring(samples_chart(baseline.devices[0], run.student_latency))
    heights = [text.get("y") for text in root.iter("text") if text.get("class") == "name"]
    assert len(set(heights)) == len(heights) == 2
    curves = [e for e in root.iter("path") if str(e.get("class")).startswith("curve")]
    assert [e.get("class") for e in curves] == ["curve teacher", "curve student"]
    for curve in curves:
        pairs = [tuple(map(float, p.split())) for p in str(curve.get("d"))[1:].split("L")]
        assert pairs == sorted(pairs, key=lambda pair: pair[0])
        assert pairs[0][1] > pairs[-1][1]


@pytest.mark.parametrize(("after", "shown"), [(4, "16 → 4"), (16, "16")])
def test_bars_are_as_long_as_the_widths(after: int, shown: str) -> None:
    image = widths_chart({"conv": 16}, {"conv": after})
    [whole], [left] = of_class(image, "rect", "before"), of_class(image, "rect", "after")
    assert left["width"] == pytest.approx(whole["width"] * after / 16, abs=0.01)
    assert shown in [e.text for e in ET.fromstring(image).iter("text")]


def test_a_race_has_a_bar_for_each_figure_and_the_winners_is_dark() -> None:
    image = race_chart(a_race())
    [winner], [other] = (of_class(image, "rect", kind) for kind in ("after", "before"))
    assert winner["width"] == pytest.approx(other["width"] / 2, abs=0.02)
    spreads = of_class(image, "line", "spread")
    assert [spread["x2"] > spread["x1"] for spread in spreads] == [True, True]
    words = [text.text for text in ET.fromstring(image).iter("text")]
    assert words == ["swift fp32 x1", "1.00 ms", "own fp32 x1", "2.00 ms"]


def test_a_page_of_races_has_pictures_of_their_own_and_reasons() -> None:
    page = races_html([a_race(), a_race()])
    assert {f'id="race-{place}-title"' in page for place in (0, 1)} == {True}
    assert "is &lt;not&gt; installed" in page
    assert page.index("<!doctype html>") == 0
