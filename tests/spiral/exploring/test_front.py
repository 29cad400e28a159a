from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespiral.spiral.exploring.front import KNEE, Front, Place

TEACHER = Place(10.0, 0.0)


def front(*places):
    return Front.of([TEACHER, *(Place(*place) for place in places)])


def test_what_another_beats_in_both_is_not_on_the_front():
    found = front((8.0, 0.1), (8.5, 0.2), (5.0, 0.4), (5.0, 0.3))
    assert found.places == (TEACHER, Place(8.0, 0.1), Place(5.0, 0.3))


def test_a_cut_that_loses_nothing_takes_the_teachers_place():
    assert front((8.0, 0.0), (5.0, 0.3)).places == (Place(8.0, 0.0), Place(5.0, 0.3))


def test_a_knee_is_where_speed_becomes_dear():
    even = [(10 * math.exp(-step), step * 0.1) for step in (1, 2, 3)]
    assert front(*even).knees() == set()
    dear = (10 * math.exp(-4), 0.3 + 0.1 * KNEE * 1.01)
    assert front(*even, dear).knees() == {Place(*even[-1])}


def test_a_bump_that_lies_above_the_hull_is_no_knee():
    assert Place(8.0, 0.5) not in front((8.0, 0.5), (5.0, 0.6)).knees()


def test_the_next_tenth_is_read_off_the_front():
    found = front((10 / 1.21, 0.2), (10 / 1.5, 0.9))
    assert found.next_tenth(TEACHER) == pytest.approx(0.1)
    assert found.next_tenth(found.places[-1]) is None


@given(st.lists(st.tuples(st.floats(0.1, 9.9), st.floats(0.001, 10)), max_size=12))
def test_speed_never_comes_free_along_a_front(places):
    found = front(*places)
    latencies = [place.latency_ms for place in found.places]
    losses = [place.loss_nats for place in found.places]
    assert latencies == sorted(set(latencies), reverse=True)
    assert losses == sorted(set(losses))
    assert found.knees() <= set(found.places[1:-1])
    assert all((found.next_tenth(place) or 0.0) >= -1e-9 for place in found.places)
