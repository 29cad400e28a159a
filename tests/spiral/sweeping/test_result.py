from __future__ import annotations

from random import Random

import pytest

from edgespiral.core.records.comparing.sweep import SweptDevice, SweptRun
from edgespiral.core.records.measurement import Interval
from edgespiral.core.records.metric import Metric
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.sweeping.command import Problem
from edgespiral.spiral.sweeping.ended import EndedRuns
from edgespiral.spiral.sweeping.plan import SweepPlan, SweepRun
from edgespiral.spiral.sweeping.result import points_of, sweep_of

ACCURACY = Metric(name="accuracy")


def run(name, latency_ms, score, size=100, target="host-cpu", **values):
    interval = Interval(low=latency_ms * 0.9, high=latency_ms * 1.1)
    device = SweptDevice(target=target, latency_ms=latency_ms, ci95_ms=interval, speedup=2.0)
    return SweptRun(
        name=name,
        folder=name,
        values=values,
        test_score=score,
        size_bytes=size,
        devices=(device,),
    )


def test_a_point_is_on_the_front_unless_another_is_as_fast_as_small_and_as_good():
    runs = [
        run("a", 4.0, 97.0, speedup=2),
        run("b", 2.0, 95.0, speedup=4),
        run("c", 4.0, 95.0, speedup=3),
        run("d", 4.5, 96.0, size=50, speedup=1.8),
    ]
    front = {point.runs[0]: point.on_front for point in points_of(runs, ACCURACY)}
    assert front == {"a": True, "b": True, "c": False, "d": True}
    worse = Metric(name="error", unit="mm", higher_is_better=False)
    assert {p.runs[0] for p in points_of(runs, worse) if p.on_front} == {"b", "d"}


def test_energy_counts_where_it_was_measured():
    runs = [run("a", 4.0, 97.0, speedup=2), run("b", 3.0, 97.0, speedup=4)]
    assert [point.on_front for point in points_of(runs, ACCURACY)] == [False, True]
    taking = [
        each.model_copy(
            update={"devices": (each.devices[0].model_copy(update={"energy_mj": energy_mj}),)}
        )
        for each, energy_mj in zip(runs, (5.0, 9.0), strict=True)
    ]
    points = list(points_of(taking, ACCURACY))
    assert [(point.energy_mj, point.on_front) for point in points] == [(5.0, True), (9.0, True)]
    half = list(points_of([taking[0], runs[1]], ACCURACY))
    assert [point.on_front for point in half] == [False, True]


def test_a_front_of_many_is_that_of_all_pairs():
    draw = Random(0)
    names = [f"r{number}" for number in range(300)]
    runs = [
        run(name, draw.uniform(1, 4), draw.randint(50, 99), draw.randint(1, 99), n=name)
        for name in names
    ]
    points = list(points_of(runs, ACCURACY))
    merits = {p.runs[0]: (-p.latency_ms, -p.size_bytes, p.score) for p in points}
    for point in points:
        own = merits[point.runs[0]]
        others = [m for m in merits.values() if m != own]
        beaten = any(all(a >= b for a, b in zip(m, own, strict=True)) for m in others)
        assert point.on_front is not beaten
    assert 1 < sum(point.on_front for point in points) < 200


def test_targets_have_fronts_of_their_own():
    runs = [run("a", 4.0, 97.0, target="x", n=1), run("b", 2.0, 98.0, target="y", n=2)]
    assert [point.on_front for point in points_of(runs, ACCURACY)] == [True, True]


def test_seeds_are_one_point_with_the_interval_of_their_mean():
    runs = [run("a", 4.0, 97.0, seed=0, n=1), run("b", 5.0, 95.0, seed=1, n=1)]
    (point,) = points_of(runs, ACCURACY)
    assert (point.runs, point.values) == (("a", "b"), {"n": 1})
    assert (point.latency_ms, point.score) == (4.5, 96.0)
    assert (point.latency_ci95_ms.low, point.latency_ci95_ms.high) == pytest.approx((3.6, 5.5))
    # Two scores, one degree of freedom: 12.706 times sqrt(2 / 2).
    assert point.score_ci95 is not None
    assert point.score_ci95.high == pytest.approx(96.0 + 12.706, abs=1e-2)
    (alone,) = points_of(runs[:1], ACCURACY)
    assert alone.score_ci95 is None


def test_a_run_that_failed_keeps_its_line_and_its_code(tmp_path):
    plan = SweepPlan(plan={}, vary={"seed": [0, 1]})
    runs = [SweepRun(f"r{n}", {"seed": n}, Plan(speedup=2.0, seed=n)) for n in (0, 1)]
    sweep = sweep_of(
        plan, runs, EndedRuns(plan, tmp_path), {"r1": Problem("diverged", 9)}, "edgespiral sweep"
    )
    assert [(r.problem, r.exit_code, r.outcome) for r in sweep.runs] == [
        (None, None, None),
        ("diverged", 9, None),
    ]
    assert sweep.points == ()
