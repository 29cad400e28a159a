"""Confidence intervals for the gate, from one figure a round or a process.

All are exact or nearly so for few values and high confidence, where a bootstrap's far quantiles are
not: a gate that looks several times needs intervals of 99.8 %.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import MeasurementError
from edgespiral.core.stats import SEED, checked
from edgespiral.gate.records import Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Rounds = Sequence[Sequence[float]]

TAIL_PERCENT = 99
# With five samples beyond the 99th percentile; see core/stats.py.
LEAST_TAIL_SAMPLES = 500
TAIL_RESAMPLES = 2000
LEAST_DRIFT_PERCENT = 10.0
# An interval from fewer processes is wider than any change that matters.
LEAST_PROCESSES = 3


def round_medians(rounds_ms: Rounds) -> Vector:
    """The median of each round, in ms.

    Raises:
        MeasurementError: too few rounds, an empty one, or an impossible sample.
    """
    return np.array([np.median(samples) for samples in checked(rounds_ms)])


def signed_rank(values: Vector, confidence: float) -> tuple[float, Bounds]:
    """The centre of a symmetric distribution: Hodges and Lehmann's estimate and its interval.

    The estimate is the median of all averages of two values; the interval inverts Wilcoxon's
    signed-rank test (Hollander, Wolfe and Chicken 2014, "Nonparametric Statistical Methods",
    sections 3.2 and 3.3, with the normal approximation of the statistic). It needs no spread to be
    estimated, and an outlier has no more weight than its rank.

    Raises:
        MeasurementError: too few values for the confidence.
    """
    from scipy.stats import norm

    count = len(values)
    _check_count(count, confidence)
    first, second = np.triu_indices(count)
    averages = np.sort((values[first] + values[second]) / 2)
    mean = count * (count + 1) / 4
    spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    beyond = math.floor(mean - norm.isf((1 - confidence) / 2) * spread)
    position = max(beyond - 1, 0)
    low, high = averages[position], averages[len(averages) - 1 - position]
    return float(np.median(averages)), Bounds(
        low=float(low), high=float(high), confidence=confidence
    )


def sign_median(values: Vector, confidence: float) -> Bounds:
    """An interval for the median of any distribution, from order statistics.

    Inverts the sign test (Hollander, Wolfe and Chicken 2014, section 3.6).

    Raises:
        MeasurementError: too few values for the confidence.
    """
    from scipy.stats import binom

    _check_count(len(values), confidence)
    ordered = np.sort(values)
    position = max(int(binom.ppf((1 - confidence) / 2, len(values), 0.5)) - 1, 0)
    return Bounds(
        low=float(ordered[position]),
        high=float(ordered[len(values) - 1 - position]),
        confidence=confidence,
    )


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


def least_count(confidence: float) -> int:
    """How many values an interval of ranks needs: that all lie on one side must be rare enough."""
    return math.ceil(1 - math.log2(1 - confidence))


def difference_of_means(
    reference: Vector, subject: Vector, confidence: float
) -> tuple[float, Bounds]:
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
    found = ttest_ind(subject, reference, equal_var=False).confidence_interval(confidence)
    return float(subject.mean() - reference.mean()), Bounds(
        low=float(found.low), high=float(found.high), confidence=confidence
    )


def tail_ratio(
    reference_rounds_ms: Rounds, subject_rounds_ms: Rounds, confidence: float
) -> tuple[float, Bounds] | None:
    """The subject's p99 over the reference's, resampling pairs of rounds.

    None where the samples cannot carry a p99.
    """
    sides = [checked(side) for side in (reference_rounds_ms, subject_rounds_ms)]
    if min(sum(map(len, side)) for side in sides) < LEAST_TAIL_SAMPLES:
        return None
    count = len(sides[0])
    chosen = np.random.default_rng(SEED).integers(0, count, (TAIL_RESAMPLES, count))
    # How often each round is drawn; the first row is the samples themselves.
    times = np.vstack([np.ones(count, int), *(np.bincount(row, minlength=count) for row in chosen)])
    reference, subject = (_tails(side, times) for side in sides)
    ratios = subject / reference
    low, high = np.quantile(ratios[1:], [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return float(ratios[0]), Bounds(low=low, high=high, confidence=confidence)


def process_tails(rounds_ms: Rounds, processes: Sequence[int]) -> Vector:
    """p99 of each process, in ms, of those whose samples carry one.

    Args:
        rounds_ms: `rounds_ms[round][sample]`.
        processes: how many of the rounds each process contributed.

    Raises:
        MeasurementError: too few rounds, an empty one, or an impossible sample.
    """
    left = iter(checked(rounds_ms))
    pools = [np.concatenate([*islice(left, count)]) for count in processes]
    carrying = [pool for pool in pools if len(pool) >= LEAST_TAIL_SAMPLES]
    return np.array([np.percentile(pool, TAIL_PERCENT) for pool in carrying])


def _tails(rounds: list[Vector], times: NDArray[np.intp]) -> Vector:
    """p99 of the pooled samples, for each row of how often every round counts."""
    samples = np.concatenate(rounds)
    order = np.argsort(samples)
    owner = np.repeat(np.arange(len(rounds)), [len(one) for one in rounds])[order]
    found = []
    for row in times:
        weights = np.cumsum(row[owner])
        found.append(np.searchsorted(weights, weights[-1] * TAIL_PERCENT / 100))
    tails: Vector = samples[order][np.array(found)]
    return tails


def _check_count(count: int, confidence: float) -> None:
    least = least_count(confidence)
    if count < least:
        raise MeasurementError(
            f"{count} rounds carry no interval of {100 * confidence:.4g} %, {least} are needed"
        )
