"""Sampling until a model's verdict is known, or its time is up."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.measurement import Verdict
from edgespiral.core.statistics.intervals import least_count
from edgespiral.core.statistics.stats import LEAST_ROUNDS
from edgespiral.gate.checks import CONFIDENCE, LOOKS, LatencySamples, judge, lacks_tail
from edgespiral.gate.intervals import LEAST_TAIL_SAMPLES
from edgespiral.measure.decide import merged, until_decided

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgespiral.core.records.measurement import (
        Measurement,
    )
    from edgespiral.gate.checks import Limits
    from edgespiral.gate.records import Check
    from edgespiral.measure.session import Session

# Against a stored baseline processes are what is compared, so a look takes several.
PROCESSES_PER_LOOK = 5
# What a baseline to be stored is measured in: its share of the interval's width is paid for once.
BASELINE_PROCESSES = 10


@dataclass
class Sampling:
    """Models measured in one or more processes, and what came of it."""

    measurements: list[Measurement] = field(default_factory=list)
    samples: list[LatencySamples] = field(default_factory=list)
    checks: tuple[Check, ...] = ()

    def add(self, measured: Sequence[Measurement]) -> None:
        """Another process's measurements of the same models.

        Raises:
            MeasurementError: the governor or the power mode changed in between.
        """
        if not self.measurements:
            self.measurements = list(measured)
            self.samples = [LatencySamples() for _ in measured]
        else:
            pairs = zip(self.measurements, measured, strict=True)
            self.measurements = [merged(old, new) for old, new in pairs]
        for samples, measurement in zip(self.samples, measured, strict=True):
            samples.add(measurement.rounds_ms)


def sample(
    session: Session,
    models: Sequence[Path],
    limits: Limits,
    *,
    baseline: LatencySamples | None = None,
    time_limit_s: float,
) -> Sampling:
    """Measure until every check is decided, the looks are used up or the time is over.

    Args:
        session: an open session on the target.
        models: the model to judge, after its reference where there is one to take turns with.
        limits: what the model is held to.
        baseline: samples of another time, in place of a reference.
        time_limit_s: for everything together; the first look is always taken whole.

    Raises:
        ModelError, TargetError, MeasurementError: as `Session.measure`.
        MeasurementError: p99 is limited, the samples cannot carry it, and no limit is missed.
    """
    sampling, start = Sampling(), perf_counter()

    def take(wanted: list[int]) -> bool:
        counts = _affordable(wanted, sampling, perf_counter() - start, time_limit_s)
        for rounds in counts:
            sampling.add(session.measure(models, rounds=rounds))
        reference = baseline or (sampling.samples[0] if len(models) > 1 else None)
        if counts:
            sampling.checks = judge(
                limits, sampling.samples[-1], reference, paired=baseline is None
            )
        return bool(counts)

    looks = _looks(session.profile.measure.rounds, unpaired=baseline is not None)
    until_decided(looks, take, lambda: _is_open(limits, sampling))
    is_missed = any(check.verdict is Verdict.MISSED for check in sampling.checks)
    if lacks_tail(limits, sampling.checks) and not is_missed:
        raise MeasurementError(
            f"too few samples to judge p99 by, {LEAST_TAIL_SAMPLES} are needed"
            + (" in each process, now and in the baseline" if baseline else ""),
            hint="raise min_samples in the target's [measure] or time_limit_s",
        )
    return sampling


def _is_open(limits: Limits, sampling: Sampling) -> bool:
    undecided = any(check.verdict is Verdict.UNDECIDED for check in sampling.checks)
    return undecided or lacks_tail(limits, sampling.checks)


def sample_baseline(session: Session, model: Path) -> Sampling:
    """Measure a model in as many processes as a baseline for later is to have.

    Raises:
        ModelError, TargetError, MeasurementError: as `Session.measure`.
    """
    sampling = Sampling()
    for _ in range(BASELINE_PROCESSES):
        sampling.add(session.measure([model]))
    return sampling


def _looks(rounds: int, *, unpaired: bool) -> Iterator[list[int]]:
    """The rounds of each process of each look; looks on pairs double the samples."""
    if unpaired:
        yield from ([rounds] * PROCESSES_PER_LOOK for _ in range(LOOKS.most))
        return
    first = max(rounds, least_count(CONFIDENCE))
    yield [first]
    yield from ([first * 2**look] for look in range(LOOKS.most - 1))


def _affordable(
    wanted: list[int], sampling: Sampling, spent_s: float, time_limit_s: float
) -> list[int]:
    """As much of a look as the time left allows, by what its predecessors took."""
    if not sampling.samples:
        return wanted
    per_round_s = spent_s / sum(sampling.samples[0].processes)
    affordable = int((time_limit_s - spent_s) / per_round_s)
    fitting = []
    for rounds in wanted:
        fitting.append(min(rounds, affordable))
        affordable -= rounds
    return [rounds for rounds in fitting if rounds >= LEAST_ROUNDS]
