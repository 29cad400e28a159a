from __future__ import annotations

from datetime import UTC, datetime

import pytest
from example_records import measurement, ratio

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import (
    Baseline,
    ExplorationPlanned,
    ModelFacts,
    OnDevice,
    PointExplored,
    PointOutOfReach,
    RunStarted,
)
from edgespiral.core.records.metric import Metric
from edgespiral.spiral.exploring.result import exploration_of

STARTED = RunStarted(
    plan={"model": "net", "data": "digits"},
    plan_sha256="0" * 64,
    teacher_sha256="1" * 64,
    metric=Metric(name="accuracy"),
    versions={},
    command="edgespiral explore net",
    started_at=datetime(2026, 3, 1, tzinfo=UTC),
)
PLANNED = ExplorationPlanned(start_ms=8.0, fastest_ms=1.0, targets_ms=(6.0, 4.0, 2.0, 1.0))


def on(latency_ms, budget_ms=2.0, teacher_ms=8.0, target="host-cpu"):
    return OnDevice(
        budget_ms=budget_ms,
        measurement=measurement(latency_ms, target=target),
        speedup=ratio(teacher_ms / latency_ms),
    )


def baseline(*devices):
    facts = ModelFacts(validation_score=98.0, parameter_count=10, size_bytes=40)
    return Baseline(teacher=facts, widths={"a": 8}, devices=devices or (on(8.0),))


def point(target_ms, width, nats, *devices):
    return PointExplored(
        target_ms=target_ms,
        precision="fp32",
        widths={"a": width},
        devices=devices or (on(target_ms * 0.95),),
        speedups={"host-cpu": 8.0 / target_ms},
        divergence_nats=nats,
        weight_share=width / 8,
    )


def test_points_are_in_the_order_of_their_speed_and_the_beaten_one_is_marked():
    events = [
        *(STARTED, baseline(), PLANNED, point(4.0, 4, 0.2), point(6.0, 6, 0.9)),
        *(point(2.0, 2, 3.0), PointOutOfReach(target_ms=1.0, fastest_ms=1.2)),
    ]
    found = exploration_of(events)
    assert [p.widths["a"] for p in found.points] == [6, 4, 2]
    assert [p.number for p in found.points] == [1, 2, 3]
    assert [p.on_front for p in found.points] == [False, True, True]
    assert [p.knee for p in found.points] == [False, True, False]
    assert found.points[0].next_tenth_nats is None
    assert found.points[1].next_tenth_nats > 0
    assert found.out_of_reach_ms == (1.0,)
    assert found.complete
    assert not exploration_of(events[:-1]).complete


def test_a_cut_that_is_best_for_two_latencies_is_one_point():
    found = exploration_of([STARTED, baseline(), PLANNED, point(4.0, 4, 0.2), point(3.9, 4, 0.2)])
    assert len(found.points) == 1
    assert found.points[0].target_ms == 4.0


def test_of_several_devices_the_one_furthest_from_its_budget_counts():
    devices = (on(8.0), on(80.0, 20.0, 80.0, "other"))
    cut = point(4.0, 4, 0.2, on(3.0), on(40.0, 20.0, 80.0, "other"))
    found = exploration_of([STARTED, baseline(*devices), PLANNED, cut])
    assert found.points[0].latency_ms == pytest.approx(4.0)
    interval = found.points[0].latency_ci95_ms
    assert (interval.low, interval.high) == pytest.approx((4.0 / 1.02, 4.0 / 0.98))


def test_before_anything_is_planned_there_is_nothing_to_tell():
    with pytest.raises(RunFolderError, match="nothing was explored yet"):
        exploration_of([STARTED, baseline()])
