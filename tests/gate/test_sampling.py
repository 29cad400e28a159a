from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.core.statistics.intervals import least_count
from edgespiral.gate.checks import CONFIDENCE, Limits
from edgespiral.gate.sampling import (
    BASELINE_PROCESSES,
    PROCESSES_PER_LOOK,
    Sampling,
    sample,
    sample_baseline,
)
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session

Make = Callable[..., Path]
FIRST = least_count(CONFIDENCE)


def test_a_clear_case_needs_one_look(chain: Make, profile: TargetProfile) -> None:
    models = [chain("a.onnx", 1), chain("b.onnx", 4)]
    with Session(profile) as session:
        found = sample(session, models, Limits(tolerance_percent=2.5), time_limit_s=60)
    assert [check.verdict for check in found.checks] == ["missed"]
    assert found.samples[0].processes == found.samples[1].processes == [FIRST]
    assert len(found.measurements[1].rounds_ms) == FIRST


def test_an_open_case_is_sampled_until_the_looks_are_used_up(
    chain: Make, profile: TargetProfile
) -> None:
    model = chain()
    with Session(profile) as session:
        # Its own median cannot be told from the budget.
        budget_ms = session.measure([model])[0].stats.p50_ms
        found = sample(session, [model], Limits(budget_ms=budget_ms), time_limit_s=15)
    [check] = found.checks
    sizes = found.samples[0].processes
    assert check.verdict != "undecided" or sum(sizes) > FIRST
    assert sizes[0] == FIRST
    assert sum(sizes) == len(found.measurements[0].rounds_ms)
    assert found.measurements[0].stats.count == sum(map(len, found.samples[0].rounds_ms))


def test_no_time_is_one_look(chain: Make, profile: TargetProfile) -> None:
    with Session(profile) as session:
        found = sample(session, [chain()] * 2, Limits(tolerance_percent=1e-6), time_limit_s=1e-9)
    assert found.samples[0].processes == [FIRST]


def test_a_baseline_is_compared_by_processes(chain: Make, profile: TargetProfile) -> None:
    with Session(profile) as session:
        stored = sample_baseline(session, chain("a.onnx", 1))
        found = sample(
            session,
            [chain("b.onnx", 6)],
            Limits(tolerance_percent=2.5),
            baseline=stored.samples[0],
            time_limit_s=20,
        )
    rounds = profile.measure.rounds
    assert stored.samples[0].processes == [rounds] * BASELINE_PROCESSES
    assert found.samples[0].processes[:PROCESSES_PER_LOOK] == [rounds] * PROCESSES_PER_LOOK
    assert found.checks[0].verdict == "missed"


def test_a_changed_power_mode_between_processes_voids_all(
    chain: Make, profile: TargetProfile
) -> None:
    with Session(profile) as session:
        [first] = session.measure([chain()])
    saving = first.fingerprint.model_copy(update={"power_mode": "low-power"})
    sampling = Sampling()
    sampling.add([first])
    with pytest.raises(MeasurementError, match="power mode changed from None to low-power"):
        sampling.add([first.model_copy(update={"fingerprint": saving})])


def test_a_limited_tail_without_samples_to_carry_it_is_no_pass(
    chain: Make, profile: TargetProfile
) -> None:
    limits = Limits(tolerance_percent=1e6, tail_tolerance_percent=1e6)
    settings = profile.measure.model_copy(update={"max_samples": 240, "round_ms": 5})
    sparse = profile.model_copy(update={"measure": settings})
    with Session(sparse) as session:
        with pytest.raises(MeasurementError, match="too few samples to judge p99 by, 500 are"):
            sample(session, [chain()] * 2, limits, time_limit_s=1e-9)
        # Given time, it samples on until they are enough.
        found = sample(session, [chain()] * 2, limits, time_limit_s=60)
    assert [check.kind for check in found.checks] == ["median", "tail"]
