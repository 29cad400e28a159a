"""Statistics of latency samples: order statistics, intervals that respect rounds, verdicts.

Samples come in rounds. Within a round they lie close in time and so are alike on a noisy machine
(a neighbour's burst, a frequency step), which makes thousands of samples worth far fewer. Every
interval here therefore resamples whole rounds, not samples: the bootstrap with rounds as clusters
(Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.measurement import (
    Interval,
    LatencyStats,
    Ratio,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Rounds = Sequence[Sequence[float]]

LEAST_ROUNDS = 5
# A percentile with fewer samples beyond it is one or two outliers' word: with k beyond, the share
# it stands for is known to about 1/sqrt(k), which is 45 % at five.
LEAST_BEYOND = 5
RESAMPLES = 1000
SEED = 0


def summarise(rounds_ms: Rounds) -> LatencyStats:
    """Order statistics of all samples, with a 95 % interval for the median.

    p90 is given from 50 samples on and p99 from 500 on: at least five samples must lie beyond a
    percentile (see `LEAST_BEYOND`), else it is None.

    Args:
        rounds_ms: the samples of each round, in milliseconds.

    Raises:
        MeasurementError: fewer than five rounds, an empty round, or a sample that is not a
            positive finite number.
    """
    rounds = checked(rounds_ms)
    samples = np.concatenate(rounds)
    return LatencyStats(
        count=samples.size,
        p50_ms=float(np.median(samples)),
        p50_ci95_ms=_interval(len(rounds), lambda resampled: _pooled_medians(rounds, resampled)),
        p90_ms=_percentile(samples, 90),
        p99_ms=_percentile(samples, 99),
    )


def summed(parts: Sequence[tuple[int, Rounds]]) -> tuple[tuple[float, ...], ...]:
    """Samples of a whole that runs its parts one after another, each `count` times.

    Sample i of a round is the sum of count times sample i of each part there; a round has as many
    as the part with the fewest. A part that runs n times is taken to need n times what one run of
    it did, so single samples scatter more than the whole would, and their median does not.

    Args:
        parts: of each its count and its samples, in rounds that were taken in turns.

    Example:
        >>> summed([(1, [[1.0, 1.5]]), (3, [[0.5, 0.5, 0.6]])])
        ((2.5, 3.0),)
    """
    counts = [count for count, _ in parts]
    if counts == [1]:
        return tuple(tuple(samples) for samples in parts[0][1])
    rounds = zip(*(rounds_ms for _, rounds_ms in parts), strict=True)
    return tuple(
        tuple(
            sum(count * sample for count, sample in zip(counts, samples, strict=True))
            for samples in zip(*sides, strict=False)
        )
        for sides in rounds
    )


def paired_ratio(reference_rounds_ms: Rounds, subject_rounds_ms: Rounds) -> Ratio:
    """How many times as fast the subject is: the median over rounds of the ratio of medians.

    Round i of both was taken side by side, so what slows the machine for longer than a round
    cancels out.

    Raises:
        MeasurementError: as for `summarise`, or the two differ in their number of rounds.
    """
    reference, subject = checked(reference_rounds_ms), checked(subject_rounds_ms)
    if len(reference) != len(subject):
        raise MeasurementError(
            f"cannot pair {len(reference)} rounds with {len(subject)}",
            hint="measure both models in one call",
        )
    reference_ms = _medians(reference)
    ratios = reference_ms / _medians(subject)
    interval = _interval(len(ratios), lambda resampled: np.median(ratios[resampled], axis=1))
    return Ratio(
        value=float(np.median(ratios)), ci95=interval, reference_ms=tuple(reference_ms.tolist())
    )


def largest_known(values: Iterable[float | None]) -> float | None:
    """The largest of what is known; None where nothing is.

    Example:
        >>> largest_known([None, 0.25, 0.5])
        0.5
    """
    return max((value for value in values if value is not None), default=None)


def verdict(interval: Interval, budget: float) -> Verdict:
    """Met where the whole interval is within the budget, missed where it is above, else undecided.

    Interval and budget have the same unit, and lower is better. For a speed-up hand in times:
    the reciprocals of the ratio's bounds and of the speed-up asked for.

    Raises:
        MeasurementError: the budget or a bound is not a positive finite number.
    """
    for name, value in (("budget", budget), ("low", interval.low), ("high", interval.high)):
        if not (math.isfinite(value) and value > 0):
            raise MeasurementError(f"{name} must be a positive number, is {value}")
    if interval.high <= budget:
        return Verdict.MET
    return Verdict.MISSED if interval.low > budget else Verdict.UNDECIDED


def checked(rounds_ms: Rounds) -> list[Vector]:
    """The rounds as arrays.

    Raises:
        MeasurementError: too few rounds, an empty one, or an impossible sample.
    """
    rounds = [np.asarray(samples, dtype=np.float64) for samples in rounds_ms]
    if not rounds or all(samples.size == 0 for samples in rounds):
        raise MeasurementError("no samples were taken")
    for index, samples in enumerate(rounds):
        if samples.size == 0:
            raise MeasurementError("no samples were taken", where=f"round {index}")
        bad = samples[~(np.isfinite(samples) & (samples > 0))]
        if bad.size:
            raise MeasurementError(f"a latency of {bad[0]:g} ms", where=f"round {index}")
    if len(rounds) < LEAST_ROUNDS:
        raise MeasurementError(f"{len(rounds)} rounds carry no interval, {LEAST_ROUNDS} are needed")
    return rounds


def tail_share(rounds: int) -> float:
    """Share of the bootstrap distribution to cut at each end for 95 % coverage.

    Narrower than 2.5 % because the bootstrap's spread is too small by sqrt((n - 1) / n) and
    ignores that the spread is itself estimated: the expanded percentile interval (Hesterberg
    2015, "What Teachers Should Know About the Bootstrap", section 4.1), with Student's t from the
    Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5).
    """
    freedom = rounds - 1
    z = NormalDist().inv_cdf(0.975)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    student_t = sum(term / freedom**power for power, term in enumerate(terms))
    return NormalDist().cdf(-student_t * math.sqrt(rounds / freedom))


def _interval(rounds: int, statistic: Callable[[NDArray[np.intp]], Vector]) -> Interval:
    resamples = np.random.default_rng(SEED).integers(0, rounds, size=(RESAMPLES, rounds))
    tail = tail_share(rounds)
    low, high = np.quantile(statistic(resamples), [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))


def _medians(rounds: list[Vector]) -> Vector:
    return np.array([np.median(samples) for samples in rounds])


def _pooled_medians(rounds: list[Vector], resamples: NDArray[np.intp]) -> Vector:
    """Median of the pooled samples of each row of chosen rounds.

    Nothing is pooled: a resample only says how often each round is there, so its median is looked
    for by halving, among how many of its samples are at most a value.
    """
    rounds = [np.sort(samples) for samples in rounds]
    values = np.sort(np.concatenate(rounds))
    times = np.array([np.bincount(row, minlength=len(rounds)) for row in resamples])
    counts = times @ np.array([samples.size for samples in rounds])
    medians: Vector = np.zeros(len(resamples))
    for ranks in ((counts - 1) // 2, counts // 2):
        medians += _at_ranks(rounds, values, times, ranks) / 2
    return medians


def _at_ranks(
    rounds: list[Vector], values: Vector, times: NDArray[np.intp], ranks: NDArray[np.intp]
) -> Vector:
    """Of each resample, the sample that as many as `ranks` of its others come before."""
    low, high = np.zeros_like(ranks), np.full_like(ranks, len(values) - 1)
    while (low < high).any():
        half = (low + high) // 2
        each = zip(times.T, rounds, strict=True)
        reached = sum(n * np.searchsorted(own, values[half], side="right") for n, own in each)
        low, high = (
            np.where(reached > ranks, low, half + 1),
            np.where(reached > ranks, half, high),
        )
    at_low: Vector = values[low]
    return at_low


def _percentile(samples: Vector, percent: int) -> float | None:
    if samples.size * (100 - percent) < 100 * LEAST_BEYOND:
        return None
    return float(np.percentile(samples, percent))
