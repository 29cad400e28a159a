from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edgespiral.core.records.events import (
    Baseline,
    ModelFacts,
    OnDevice,
    Outcome,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.footprint import PeakMemory
from edgespiral.core.records.measurement import (
    Interval,
    Ratio,
    Verdict,
)
from edgespiral.core.records.metric import Metric
from edgespiral.spiral.policy import EXTRA_TURNS, End, Next, Rules, next_step, reached_ms
from edgespiral.spiral.schedule import Schedule

TEACHER_MS, BUDGET_MS = 8.0, 2.0


@pytest.fixture
def story(a_measurement):
    """Tells a run as (score, latency, verdict) a turn; gives what comes next."""

    def facts(score):
        return ModelFacts(validation_score=score, parameter_count=1, size_bytes=1)

    def on_host(latency_ms, verdict=None, memory=None):
        speedup = TEACHER_MS / latency_ms
        ratio = Ratio(value=speedup, ci95=Interval(low=speedup, high=speedup))
        measured = a_measurement(latency_ms)
        return (
            OnDevice(
                budget_ms=BUDGET_MS,
                measurement=measured,
                speedup=ratio,
                verdict=verdict,
                memory=memory,
            ),
        )

    def turn(number, parent, target_ms, score, latency_ms, verdict, memory=None):
        planned = TurnPlanned(
            turn=number, target_ms=target_ms, widths={}, importance_lost=0.1, epochs=1.0
        )
        done = TurnFinished(
            turn=number, parent=parent, widths={}, criterion="fisher", pruner="nni",
            student=facts(score), score_after_cut=50.0, verdict=verdict,
            devices=on_host(latency_ms, verdict, memory),
            epochs=1.0, seconds={}, files={}, seed=0,
            finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        return [planned, done]

    def tell(*told, turns=2, memory=None, schedule=None):
        devices = on_host(TEACHER_MS, memory=memory)
        baseline = Baseline(teacher=facts(90.0), widths={}, devices=devices)
        rules = Rules(
            schedule or Schedule.plan(TEACHER_MS, BUDGET_MS, turns, 3.0),
            max_drop=2.0,
            metric=Metric(name="accuracy"),
        )
        events = []
        step = next_step(rules, baseline, events)
        for number, (score, latency_ms, verdict, *own) in enumerate(told, 1):
            assert isinstance(step, Next), f"the run was over before turn {number}"
            assert step.turn == number
            events += turn(number, step.parent, step.target_ms, score, latency_ms, verdict, *own)
            step = next_step(rules, baseline, events)
        return step

    return tell


def test_it_starts_from_the_teacher(story):
    assert story() == Next(turn=1, parent=0, target_ms=4.0)


def test_the_student_becomes_the_next_parent(story):
    assert story((89.0, 3.9, Verdict.MISSED)) == Next(turn=2, parent=1, target_ms=BUDGET_MS)


def test_it_ends_when_the_budget_is_met(story):
    step = story((89.0, 3.9, Verdict.MISSED), (88.5, 1.9, Verdict.MET))
    assert isinstance(step, End)
    assert (step.outcome, step.best_turn) == (Outcome.MET, 2)


def test_a_budget_met_below_the_floor_does_not_count(story):
    step = story((80.0, 1.9, Verdict.MET), turns=1)
    assert step == Next(turn=2, parent=0, target_ms=4.0)


def test_after_crossing_the_floor_it_goes_half_way_back_once(story):
    step = story((80.0, 1.9, Verdict.MET), (89.0, 4.0, Verdict.MISSED), turns=1)
    assert isinstance(step, End)
    assert (step.outcome, step.best_turn) == (Outcome.SCORE_FLOOR, 2)
    assert "turn 2 is the fastest within it" in step.message


def test_with_no_turn_within_the_floor_the_teacher_is_the_result(story):
    step = story((80.0, 1.9, Verdict.MET), (70.0, 4.0, Verdict.MISSED), turns=1)
    assert isinstance(step, End)
    assert (step.outcome, step.best_turn) == (Outcome.SCORE_FLOOR, 0)
    assert "no turn is within it" in step.message


def test_a_last_turn_just_above_the_budget_is_followed_by_a_closer_one(story):
    step = story((89.0, 2.01, Verdict.UNDECIDED), turns=1)
    assert isinstance(step, Next)
    assert (step.turn, step.parent) == (2, 1)
    assert 0.9 * BUDGET_MS < step.target_ms < BUDGET_MS


def test_it_does_not_try_for_ever(story):
    missed = [(89.0, 2.5, Verdict.MISSED)] * (1 + EXTRA_TURNS)
    step = story(*missed, turns=1)
    assert isinstance(step, End)
    assert (step.outcome, step.best_turn) == (Outcome.UNREACHABLE, 1 + EXTRA_TURNS)


def test_a_student_is_as_slow_as_on_the_device_furthest_from_its_budget(a_measurement):
    def on(latency_ms, speedup, budget_ms=10.0):
        ratio = Ratio(value=speedup, ci95=Interval(low=speedup, high=speedup))
        return OnDevice(budget_ms=budget_ms, measurement=a_measurement(latency_ms), speedup=ratio)

    teacher = ModelFacts(validation_score=90.0, parameter_count=1, size_bytes=1)
    devices = (on(8.0, 1.0, budget_ms=2.0), on(24.0, 1.0))
    baseline = Baseline(teacher=teacher, widths={}, devices=devices)
    done = TurnFinished(
        turn=1, parent=0, widths={}, criterion="fisher", pruner="nni", student=teacher,
        score_after_cut=50.0, verdict=Verdict.MISSED,
        epochs=1.0, seconds={}, files={}, seed=0, finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        devices=(on(2.0, 4.0, budget_ms=2.0), on(12.0, 2.0)),
    )  # fmt: skip
    assert reached_ms(baseline, done, budget_ms=2.0) == pytest.approx(2.0 * 12.0 / 10.0)


def of_100_mib(peak_mib):
    """Memory of which 100 MiB may be taken."""
    return PeakMemory(peak_mib=peak_mib, limit_mib=100.0)


def test_memory_that_is_too_much_aims_the_next_turn_along_the_line_so_far(story):
    # 6 ms less took 60 MiB away, so the 10 MiB that are left take another.
    step = story((89.0, 2.0, Verdict.MISSED, of_100_mib(110.0)), turns=1, memory=of_100_mib(170.0))
    assert step == Next(turn=2, parent=1, target_ms=pytest.approx(0.98 * 1.0))


def test_a_step_for_memory_is_bounded_on_both_sides(story):
    def next_ms(peak_mib):
        turn = (89.0, 2.0, Verdict.MISSED, of_100_mib(peak_mib))
        return story(turn, turns=1, memory=of_100_mib(170.0)).target_ms

    assert next_ms(100.1) == pytest.approx(2.0 / 1.08)
    assert next_ms(160.0) == pytest.approx(2.0 / 4)
    assert next_ms(170.0) == pytest.approx(2.0 / 1.7), "as good as it gets where nothing was saved"
    assert next_ms(90.0) == pytest.approx(0.98 * BUDGET_MS), "within its limit it asks for nothing"


def test_a_teacher_that_is_fast_enough_is_cut_for_its_memory(story):
    fast = Schedule.plan(TEACHER_MS, 2 * TEACHER_MS, 1, 3.0)
    step = story(turns=1, memory=of_100_mib(125.0), schedule=fast)
    assert step == Next(turn=1, parent=0, target_ms=pytest.approx(TEACHER_MS / 1.25))


def test_of_a_schedule_that_a_student_is_ahead_of_the_next_step_down_is_taken(story):
    def after(latency_ms):
        return story((89.0, latency_ms, Verdict.MISSED), turns=4)

    # Its targets are 5.7, 4.0, 2.8 and 2 ms.
    assert after(5.6).target_ms == pytest.approx(4.0)
    assert after(3.9) == Next(turn=2, parent=1, target_ms=pytest.approx(2.83, rel=0.01))
    assert after(2.5) == Next(turn=2, parent=1, target_ms=BUDGET_MS)


def test_a_student_fast_enough_whose_memory_is_not_is_cut_for_that_at_once(story):
    schedule = Schedule.plan(TEACHER_MS, BUDGET_MS, 3, 3.0)
    step = story(
        (89.0, 1.9, Verdict.MISSED, of_100_mib(125.0)), memory=of_100_mib(125.0), schedule=schedule
    )
    assert step == Next(turn=2, parent=1, target_ms=pytest.approx(1.9 / 1.25))


def test_memory_alone_does_not_steer_turns_that_are_far_from_the_budget(story):
    assert story(turns=2, memory=of_100_mib(900.0)).target_ms == 4.0
