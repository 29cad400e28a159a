from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespiral.spiral.schedule import LARGEST_STEP, Schedule, retreat_ms


@given(speedup=st.floats(1.05, 50), turns=st.one_of(st.just("auto"), st.integers(1, 8)))
def test_turns_go_down_in_equal_ratios_to_the_budget(speedup, turns):
    schedule = Schedule.plan(10.0, 10.0 / speedup, turns, 4.0)
    path = [10.0, *(schedule.target_ms(t) for t in range(1, schedule.turns + 1))]
    ratios = [a / b for a, b in itertools.pairwise(path)]
    assert path[-1] == 10.0 / speedup
    assert max(ratios) == pytest.approx(min(ratios))
    if turns == "auto":
        assert max(ratios) <= LARGEST_STEP * (1 + 1e-6)


@given(turns=st.integers(1, 8), epochs=st.floats(0.1, 100))
def test_turns_share_the_epochs_and_the_last_gets_twice_as_many(turns, epochs):
    schedule = Schedule.plan(10.0, 2.0, turns, epochs)
    shares = [schedule.turn_epochs(turn) for turn in range(1, turns + 1)]
    assert math.fsum(shares) == pytest.approx(epochs)
    assert all(shares[-1] == pytest.approx(2 * share) for share in shares[:-1])


def test_what_is_fast_enough_already_takes_one_turn_of_all_epochs():
    """Steps to a slower budget would be targets that the teacher meets."""
    for turns in ("auto", 3):
        schedule = Schedule.plan(10.0, 1000.0, turns, 4.0)
        assert (schedule.turns, schedule.turn_epochs(1)) == (1, 4.0)


def test_a_turn_that_is_aimed_at_the_budget_early_is_trained_as_the_last():
    schedule = Schedule.plan(10.0, 2.0, 3, 4.0)
    assert schedule.turn_epochs(2, schedule.target_ms(2)) == 1.0
    assert schedule.turn_epochs(2, schedule.target_ms(3)) == schedule.turn_epochs(3) == 2.0


def test_auto_takes_one_turn_where_one_step_reaches():
    assert Schedule.plan(10.0, 10.0 / 2.2, "auto", 2.0).turns == 1
    assert Schedule.plan(10.0, 10.0 / 4, "auto", 2.0).turns == 1
    assert Schedule.plan(10.0, 10.0 / 5, "auto", 2.0).turns == 2


def test_a_retreat_goes_half_way_back_until_that_is_not_worth_a_turn():
    assert retreat_ms(8.0, 2.0) == 4.0
    assert retreat_ms(8.0, 7.5) is None
