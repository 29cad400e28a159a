from __future__ import annotations

import numpy as np
import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.footprint import Footprint, footprint_budgets
from edgespiral.core.records.measurement import Verdict
from edgespiral.core.stages.latencies import StageLatency, Stages
from edgespiral.core.statistics.stats import summarise
from edgespiral.measure.beside.limits import limited
from edgespiral.measure.decide import Paired
from edgespiral.spiral.budget import Budget, Budgets, joined
from edgespiral.spiral.plan import load_plan


def plan(**budget):
    return load_plan(None, {"model": "resnet8", "data": "digits", **budget})


def pair(a_measurement, subject_ms, times):
    """A model of `subject_ms` whose reference takes `times` as long, both with some noise."""
    noise = 1 + 0.01 * np.random.default_rng(0).normal(size=(60, 1))
    slow, quick = times * subject_ms * noise[::-1], subject_ms * noise
    reference, subject = (
        a_measurement(1.0).model_copy(update={"rounds_ms": tuple(map(tuple, rounds.tolist()))})
        for rounds in (slow, quick)
    )
    return Paired(reference, subject)


@pytest.mark.parametrize(
    ("times", "expected"),
    [(2.1, Verdict.MET), (2.0, Verdict.UNDECIDED), (1.9, Verdict.MISSED)],
)
def test_a_speedup_is_judged_by_the_paired_ratio(times, expected, a_measurement):
    budget = Budget.of({"speedup": 2.0}, teacher_ms=4.0)
    assert budget.latency_ms == 2.0
    assert budget.verdict(pair(a_measurement, 9.0, times), 0.95) is expected


@pytest.mark.parametrize(
    ("latency_ms", "expected"),
    [(1.9, Verdict.MET), (2.0, Verdict.UNDECIDED), (2.2, Verdict.MISSED)],
)
def test_a_latency_is_judged_by_its_own_interval(latency_ms, expected, a_measurement):
    budget = Budget.of({"latency_ms": 2.0}, teacher_ms=4.0)
    assert budget.verdict(pair(a_measurement, latency_ms, 9.0), 0.95) is expected


def test_it_reads_as_a_person_would_say_it():
    assert str(Budget.of({"latency_ms": 2.0}, 4.0)) == "2 ms"
    assert str(Budget.of({"speedup": 2.5}, 4.0)) == "1.6 ms (2.5x faster)"


def test_each_device_has_its_own_and_all_must_be_met(a_measurement):
    asked = plan(target=["a", "b"], speedup={"a": 2.0}, latency_ms={"b": 8.0})
    budgets = Budgets.of(asked.budgets, [a_measurement(4.0), a_measurement(20.0)])
    assert budgets.goal_ms == 2.0
    assert str(budgets) == "2 ms (2x faster) on a, 8 ms on b"
    pairs = [pair(a_measurement, 9.0, 2.15)] * 2
    assert budgets.verdicts(pairs, 0.95) == [Verdict.MET, Verdict.MISSED]


def test_limits_are_of_all_devices_or_of_some(a_measurement):
    asked = plan(target=["a", "b"], speedup=2.0)
    teacher = [a_measurement(4.0), a_measurement(20.0)]
    some = Budgets.of(asked.budgets, teacher, memory_mib={"b": 80.0}, energy_mj=4.0)
    assert str(some).endswith("80 MiB of memory on b, 4 mJ an inference")
    assert limited(some.targets, some.memory_mib) == {"b": 80.0}
    assert limited(some.targets, some.energy_mj) == {"a": 4.0, "b": 4.0}


def test_several_verdicts_are_one():
    met, missed, undecided = Verdict.MET, Verdict.MISSED, Verdict.UNDECIDED
    assert joined([met, met]) is met
    assert joined([met, undecided]) is undecided
    assert joined([undecided, missed, met]) is missed


def test_without_a_latency_time_is_planned_to_go_with_size(a_measurement):
    teacher = Footprint(size_bytes=4000, parameter_count=1000)
    asked = plan(parameters="25%", size_mib=2000 / 2**20)
    sizes = footprint_budgets(asked.size_mib, asked.parameters, teacher)
    budgets = Budgets.of(asked.budgets, [a_measurement(8.0)], teacher, sizes)
    assert budgets.goal_ms == pytest.approx(2.0), "a quarter of the parameters is what binds"
    assert str(budgets) == "0.001907 MiB, 250 parameters"
    assert budgets.verdicts([pair(a_measurement, 9.0, 2.0)], 0.95) == [Verdict.MET]
    small = Footprint(size_bytes=2000, parameter_count=251)
    assert budgets.footprint_verdicts(small) == [Verdict.MET, Verdict.MISSED]


def stages(ms=1.0, refused=None):
    rounds_ms = ((ms, ms),) * 6
    known = StageLatency(
        stage="preprocess", what="resize", stats=summarise(rounds_ms), rounds_ms=rounds_ms
    )
    unknown = (
        [StageLatency(stage="postprocess", what="answers", refused=refused)] if refused else []
    )
    return Stages.of("board", "a.jpg", [known, *unknown])


def test_a_budget_for_a_frame_leaves_the_network_what_the_rest_does_not_take():
    assert Budget.of({"latency_ms": 3.0}, 4.0, stages()).latency_ms == pytest.approx(2.0)
    # Five milliseconds are to become 2.5.
    twice = Budget.of({"speedup": 2.0}, 4.0, stages())
    assert twice.latency_ms == pytest.approx(1.5)
    assert twice.speedup == pytest.approx(4.0 / 1.5)
    assert str(twice) == "1.5 ms (2.667x faster) for the network of 2.5 ms a frame"


def test_a_frame_without_anything_left_is_out_of_reach(a_measurement):
    asked = plan(latency_ms=0.8, timed="pipeline")
    budgets = Budgets.of(asked.budgets, [a_measurement(4.0)], stages=[stages()])
    assert budgets.out_of_reach == (
        "0.8 ms for a frame is out of reach on host-cpu: what runs before and after the network "
        "takes 1 ms, and nothing is left for the network"
    )
    ample = plan(latency_ms=3.0, timed="pipeline")
    assert not Budgets.of(ample.budgets, [a_measurement(4.0)], stages=[stages()]).out_of_reach


def test_a_stage_that_is_not_known_is_an_error_only_where_a_latency_is_asked_for(a_measurement):
    unknown = stages(refused="Pillow is not installed")
    assert unknown.with_network(((1.0, 1.0),) * 6) is None
    hint = "board: postprocess could not be measured there, .*: Pillow is not installed"
    with pytest.raises(MeasurementError, match=hint):
        Budget.of({"latency_ms": 3.0}, 4.0, unknown)
    assert Budget.of({}, 4.0, unknown).latency_ms is None
