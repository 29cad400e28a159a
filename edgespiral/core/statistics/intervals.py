"""Confidence intervals from one figure a round, and the looks at them while samples are taken.

All are exact or nearly so for few values and high confidence, where a bootstrap's far quantiles are
not: whoever looks several times needs intervals of 98 % and more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.measurement import Interval
from edgespiral.core.statistics.stats import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Rounds = Sequence[Sequence[float]]

ERROR_RATE = 0.05


@dataclass(frozen=True)
class Looks:
    """How often samples are looked at while they are taken, fixed before the first of them.

    Each look is a chance to be wrong. Sharing the error rate among the looks (Bonferroni) keeps it
    over all of them, however they depend on each other.

    Attributes:
        most: looks at most.
        error_rate: chance of a wrong verdict over all of them, from 0 to 1.

    Example:
        >>> round(Looks(3).confidence, 4)
        0.9833
    """

    most: int
    error_rate: float = ERROR_RATE

    @property
    def confidence(self) -> float:
        """Of the interval of each look."""
        return 1 - self.error_rate / self.most


def round_medians(rounds_ms: Rounds) -> Vector:
    """The median of each round, in ms.

    Raises:
        MeasurementError: too few rounds, an empty one, or an impossible sample.
    """
    return np.array([np.median(samples) for samples in checked(rounds_ms)])


def signed_rank(values: Vector, confidence: float) -> tuple[float, Interval]:
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
    return float(np.median(averages)), Interval(
        low=float(low), high=float(high), confidence=confidence
    )


def sign_median(values: Vector, confidence: float) -> Interval:
    """An interval for the median of any distribution, from order statistics.

    Inverts the sign test (Hollander, Wolfe and Chicken 2014, section 3.6).

    Raises:
        MeasurementError: too few values for the confidence.
    """
    from scipy.stats import binom

    _check_count(len(values), confidence)
    ordered = np.sort(values)
    position = max(int(binom.ppf((1 - confidence) / 2, len(values), 0.5)) - 1, 0)
    return Interval(
        low=float(ordered[position]),
        high=float(ordered[len(values) - 1 - position]),
        confidence=confidence,
    )


def least_count(confidence: float) -> int:
    """How many values an interval of ranks needs: that all lie on one side must be rare enough."""
    return math.ceil(1 - math.log2(1 - confidence))


def ratio_interval(
    reference_rounds_ms: Rounds, subject_rounds_ms: Rounds, confidence: float
) -> Interval:
    """An interval for how many times as fast the subject is, from pairs of rounds.

    Raises:
        MeasurementError: too few rounds for the confidence, impossible samples, or no pairs.
    """
    reference, subject = round_medians(reference_rounds_ms), round_medians(subject_rounds_ms)
    if len(reference) != len(subject):
        raise MeasurementError(
            f"cannot pair {len(reference)} rounds with {len(subject)}",
            hint="measure both models in one call",
        )
    _, logs = signed_rank(np.log(reference / subject), confidence)
    return Interval(low=math.exp(logs.low), high=math.exp(logs.high), confidence=confidence)


def _check_count(count: int, confidence: float) -> None:
    least = least_count(confidence)
    if count < least:
        raise MeasurementError(
            f"{count} rounds carry no interval of {100 * confidence:.4g} %, {least} are needed"
        )
