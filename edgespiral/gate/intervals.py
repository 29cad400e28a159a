"""Confidence intervals that the gate alone needs: of tails, of processes, of drifts."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.measurement import (
    Interval,
)
from edgespiral.core.statistics.stats import SEED, checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Rounds = Sequence[Sequence[float]]

TAIL_PERCENT = 99
# With five samples beyond the 99th percentile; see core/statistics/stats.py.
LEAST_TAIL_SAMPLES = 500
TAIL_RESAMPLES = 2000
LEAST_DRIFT_PERCENT = 10.0
# An interval from fewer processes is wider than any change that matters.
LEAST_PROCESSES = 3


def drift(values: Vector, confidence: float) -> tuple[float, float] | None:
    """The medians before and in the last quarter where they surely differ, else None.

    A device that throttles while it is measured has two levels, and no interval around one median
    says so. The two parts are compared by the Mann-Whitney test (Hollander, Wolfe and Chicken 2014,
    section 4.1); differences below `LEAST_DRIFT_PERCENT` are left to the interval.
    """
    from scipy.stats import mannwhitneyu

    parts = np.split(values, [3 * len(values) // 4])
    before, last = (float(np.median(part)) for part in parts)
    if 100 * abs(last / before - 1) < LEAST_DRIFT_PERCENT:
        return None
    return (before, last) if mannwhitneyu(*parts).pvalue < 1 - confidence else None


def difference_of_means(
    reference: Vector, subject: Vector, confidence: float
) -> tuple[float, Interval]:
    """Mean of the subject's values less that of the reference's, with Welch's interval.

    Raises:
        MeasurementError: fewer than three values on a side.
    """
    from scipy.stats import ttest_ind

    fewest = min(len(reference), len(subject))
    if fewest < LEAST_PROCESSES:
        raise MeasurementError(
            f"{fewest} measuring processes carry no comparison with a stored baseline, "
            f"{LEAST_PROCESSES} are needed"
        )
    interval = ttest_ind(subject, reference, equal_var=False).confidence_interval(confidence)
    return float(subject.mean() - reference.mean()), Interval(
        low=float(interval.low), high=float(interval.high), confidence=confidence
    )


def tail_ratio(
    reference_rounds_ms: Rounds, subject_rounds_ms: Rounds, confidence: float
) -> tuple[float, Interval] | None:
    """The subject's p99 over the reference's, resampling pairs of rounds.

    None where the samples cannot carry a p99.
    """
    sides = [checked(side) for side in (reference_rounds_ms, subject_rounds_ms)]
    if min(sum(map(len, side)) for side in sides) < LEAST_TAIL_SAMPLES:
        return None
    count = len(sides[0])
    resamples = np.random.default_rng(SEED).integers(0, count, (TAIL_RESAMPLES, count))
    # How often each round is drawn; the first row is the samples themselves.
    times = np.vstack(
        [np.ones(count, int), *(np.bincount(row, minlength=count) for row in resamples)]
    )
    reference, subject = (_tails(side, times) for side in sides)
    ratios = subject / reference
    low, high = np.quantile(ratios[1:], [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return float(ratios[0]), Interval(low=low, high=high, confidence=confidence)


def process_tails(rounds_ms: Rounds, processes: Sequence[int]) -> Vector:
    """p99 of each process, in ms, of those whose samples carry one.

    Args:
        rounds_ms: `rounds_ms[round][sample]`.
        processes: how many of the rounds each process contributed.

    Raises:
        MeasurementError: too few rounds, an empty one, or an impossible sample.
    """
    rounds = iter(checked(rounds_ms))
    pools = [np.concatenate([*islice(rounds, count)]) for count in processes]
    carrying = [pool for pool in pools if len(pool) >= LEAST_TAIL_SAMPLES]
    return np.array([np.percentile(pool, TAIL_PERCENT) for pool in carrying])


def _tails(rounds: list[Vector], times: NDArray[np.intp]) -> Vector:
    """p99 of the pooled samples, for each row of how often every round counts."""
    samples = np.concatenate(rounds)
    order = np.argsort(samples)
    owner = np.repeat(np.arange(len(rounds)), [len(round_ms) for round_ms in rounds])[order]
    places = []
    for row in times:
        weights = np.cumsum(row[owner])
        places.append(np.searchsorted(weights, weights[-1] * TAIL_PERCENT / 100))
    tails: Vector = samples[order][np.array(places)]
    return tails
