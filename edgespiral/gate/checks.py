"""From samples to verdicts: each limit of a model against an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.statistics.intervals import Looks, round_medians, sign_median, signed_rank
from edgespiral.gate.intervals import (
    LEAST_PROCESSES,
    difference_of_means,
    drift,
    process_tails,
    tail_ratio,
)
from edgespiral.gate.records import Check, Reference, verdict_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records.measurement import (
        Interval,
    )
    from edgespiral.gate.intervals import Rounds, Vector

# A false alarm costs a team's trust in its gate, so it is rarer than elsewhere.
LOOKS = Looks(6, error_rate=0.01)
CONFIDENCE = LOOKS.confidence
# 2000 resamples know no more of a p99's far quantiles; unless given a tolerance, it fails nothing.
TAIL_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Limits:
    """What a model is held to. Tolerances are for the change against a reference, in percent."""

    budget_ms: float | None = None
    tolerance_percent: float | None = None
    tail_tolerance_percent: float | None = None


@dataclass
class LatencySamples:
    """A model's samples so far, `rounds_ms[round][sample]`, and the rounds of each process."""

    rounds_ms: list[Sequence[float]] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)

    def add(self, rounds_ms: Rounds) -> None:
        """Another process's rounds."""
        self.rounds_ms += rounds_ms
        self.processes.append(len(rounds_ms))


def judge(
    limits: Limits,
    subject: LatencySamples,
    reference: LatencySamples | None,
    *,
    paired: bool = True,
) -> tuple[Check, ...]:
    """Every check that the limits and the samples allow.

    Args:
        limits: what the model is held to.
        subject: its samples.
        reference: those of what it is compared with; round i of both are a pair if `paired`.
        paired: else the reference was measured at another time, and whole processes are compared.

    Raises:
        MeasurementError: too few rounds or processes for the confidence, or impossible samples.
    """
    checks = []
    if limits.budget_ms is not None:
        checks.append(_budget(subject, limits.budget_ms))
    if reference is not None:
        checks.append(_median(subject, reference, limits.tolerance_percent, paired=paired))
        tail = _tail(subject, reference, limits.tail_tolerance_percent, paired=paired)
        checks += [tail] if tail else []
    return tuple(checks)


def lacks_tail(limits: Limits, checks: tuple[Check, ...]) -> bool:
    """Whether p99 is limited and the samples of a comparison could not carry it."""
    kinds = [check.kind for check in checks]
    return limits.tail_tolerance_percent is not None and "median" in kinds and "tail" not in kinds


def samples_of(reference: Reference) -> LatencySamples:
    """The samples of a stored reference."""
    return LatencySamples(list(reference.measurement.rounds_ms), list(reference.processes))


def _budget(subject: LatencySamples, limit_ms: float) -> Check:
    medians = round_medians(subject.rounds_ms)
    bounds = sign_median(medians, CONFIDENCE)
    levels = drift(medians, CONFIDENCE)
    # A level that still moves across the limit is none to judge by: more samples tell its end.
    crossing = levels is not None and min(levels) <= limit_ms < max(levels)
    verdict = Verdict.UNDECIDED if crossing else verdict_of(bounds, limit_ms)
    return Check(
        kind="budget",
        verdict=verdict,
        value=float(np.median(medians)),
        bounds=bounds,
        limit=limit_ms,
        drift_percent=100 * (levels[1] / levels[0] - 1) if levels and crossing else None,
    )


def _median(
    subject: LatencySamples, reference: LatencySamples, limit: float | None, *, paired: bool
) -> Check:
    if paired:
        pair = np.log([round_medians(side.rounds_ms) for side in (reference, subject)])
        change, bounds = signed_rank(pair[1] - pair[0], CONFIDENCE)
    else:
        change, bounds = difference_of_means(
            _process_levels(reference), _process_levels(subject), CONFIDENCE
        )
    return _change("median", math.exp(change), _exponents(bounds), limit)


def _tail(
    subject: LatencySamples, reference: LatencySamples, limit: float | None, *, paired: bool
) -> Check | None:
    if paired:
        tail = tail_ratio(reference.rounds_ms, subject.rounds_ms, TAIL_CONFIDENCE)
        return _change("tail", *tail, limit) if tail else None
    sides = [
        process_tails(samples.rounds_ms, samples.processes) for samples in (reference, subject)
    ]
    if min(map(len, sides)) < LEAST_PROCESSES:
        return None
    change, bounds = difference_of_means(np.log(sides[0]), np.log(sides[1]), TAIL_CONFIDENCE)
    return _change("tail", math.exp(change), _exponents(bounds), limit)


def _change(kind: str, ratio: float, bounds: Interval, limit: float | None) -> Check:
    percent = bounds.model_copy(
        update={"low": 100 * (bounds.low - 1), "high": 100 * (bounds.high - 1)}
    )
    return Check(
        kind=kind,  # type: ignore[arg-type]
        verdict=verdict_of(percent, limit),
        value=100 * (ratio - 1),
        bounds=percent,
        limit=limit,
    )


def _exponents(bounds: Interval) -> Interval:
    return bounds.model_copy(update={"low": math.exp(bounds.low), "high": math.exp(bounds.high)})


def _process_levels(samples: LatencySamples) -> Vector:
    """The middle of each process's log round medians."""
    logs = np.log(round_medians(samples.rounds_ms))
    starts = np.cumsum(samples.processes)[:-1]
    return np.array([np.median(part) for part in np.split(logs, starts)])
