from __future__ import annotations

import pytest

from edgespiral.core.records import Interval, Ratio, Verdict
from edgespiral.spiral.budget import Budget, Budgets, joined
from edgespiral.spiral.plan import load_plan


def plan(**budget):
    return load_plan(None, {"model": "resnet8", "data": "digits", **budget})


def ratio(low, high):
    return Ratio(value=(low + high) / 2, ci95=Interval(low=low, high=high))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (2.01, 2.1, Verdict.MET),
        (1.95, 2.05, Verdict.UNDECIDED),
        (1.8, 1.99, Verdict.MISSED),
    ],
)
def test_a_speedup_is_judged_by_the_paired_ratio(low, high, expected, a_measurement):
    budget = Budget.from_plan(plan(speedup=2.0), target="host-cpu", teacher_ms=4.0)
    assert budget.latency_ms == 2.0
    assert budget.verdict(a_measurement(latency_ms=9.0), ratio(low, high)) is expected


@pytest.mark.parametrize(
    ("latency_ms", "expected"),
    [(1.9, Verdict.MET), (2.0, Verdict.UNDECIDED), (2.2, Verdict.MISSED)],
)
def test_a_latency_is_judged_by_its_own_interval(latency_ms, expected, a_measurement):
    budget = Budget.from_plan(plan(latency_ms=2.0), target="host-cpu", teacher_ms=4.0)
    assert budget.verdict(a_measurement(latency_ms=latency_ms), ratio(9, 10)) is expected


def test_it_reads_as_a_person_would_say_it():
    assert str(Budget.from_plan(plan(latency_ms=2.0), "host-cpu", 4.0)) == "2 ms"
    assert str(Budget.from_plan(plan(speedup=2.5), "host-cpu", 4.0)) == "1.6 ms (2.5x faster)"


def test_each_device_has_its_own_and_all_must_be_met(a_measurement):
    asked = plan(target=["a", "b"], speedup={"a": 2.0}, latency_ms={"b": 8.0})
    budgets = Budgets.from_plan(asked, [4.0, 20.0])
    assert budgets.latency_ms == 2.0
    assert str(budgets) == "2 ms (2x faster) on a, 8 ms on b"
    found = [(a_measurement(9.0), ratio(2.1, 2.2)), (a_measurement(9.0), ratio(2.1, 2.2))]
    assert budgets.verdicts(found) == [Verdict.MET, Verdict.MISSED]


def test_several_verdicts_are_one():
    met, missed, undecided = Verdict.MET, Verdict.MISSED, Verdict.UNDECIDED
    assert joined([met, met]) is met
    assert joined([met, undecided]) is undecided
    assert joined([undecided, missed, met]) is missed
