from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespiral.report.drawing.svg import Scale, element

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(NUMBERS, min_size=1, max_size=9))
def test_a_scale_keeps_every_value_inside_and_in_order(values: list[float]) -> None:
    scale = Scale.around(values, 10, 110, 0.1)
    places = [scale(value) for value in sorted(values)]
    assert places == sorted(places)
    assert places[0] > 10 - 1e-6
    assert places[-1] < 110 + 1e-6


@given(low=NUMBERS, spread=st.floats(1e-3, 1e6))
def test_ticks_are_few_even_and_within_the_range(low: float, spread: float) -> None:
    ticks = Scale(low, low + spread, 0, 1).ticks()
    assert 2 <= len(ticks) <= 7
    assert low - 1e-6 <= ticks[0] < ticks[-1] <= low + spread + 1e-6
    steps = [after - before for before, after in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")))
def test_text_and_attributes_survive_the_round_trip(content: str) -> None:
    parsed = ET.fromstring(element("text", content, data_name=content, class_="a", x=1.5))
    assert (parsed.text or "") == content
    assert parsed.attrib == {"data-name": content, "class": "a", "x": "1.5"}
