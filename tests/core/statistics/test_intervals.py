import numpy as np
import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.core.statistics.intervals import (
    Looks,
    least_count,
    ratio_interval,
    round_medians,
    sign_median,
    signed_rank,
)


def source(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_round_counts_by_its_median() -> None:
    assert round_medians([[1, 2, 9], [3], [4, 6], [5], [7]]).tolist() == [2, 3, 5, 5, 7]
    with pytest.raises(MeasurementError, match="no samples were taken"):
        round_medians([])
    with pytest.raises(MeasurementError, match="round 1"):
        round_medians([[1], [], [1], [1], [1]])


def test_hodges_and_lehmann_s_estimate_is_the_middle_of_pairwise_averages() -> None:
    values = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 100])
    centre, bounds = signed_rank(values, 0.9)
    averages = [(a + b) / 2 for i, a in enumerate(values) for b in values[i:]]
    assert centre == np.median(averages)
    assert 0 <= bounds.low < centre < bounds.high < 60


def test_intervals_of_ranks_agree_with_scipy_s_test() -> None:
    from scipy.stats import wilcoxon

    values = source(1).normal(0.3, 1, 40)
    _, bounds = signed_rank(values, 0.95)
    for edge, inside in ((bounds.low, 1e-3), (bounds.high, -1e-3)):
        assert wilcoxon(values - edge - 5 * inside, method="approx").pvalue > 0.05
        assert wilcoxon(values - edge + 60 * inside, method="approx").pvalue < 0.05


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_intervals_hold_the_truth_as_often_as_they_say(confidence: float) -> None:
    draws = [source(seed).laplace(2, 1, 30) for seed in range(400)]
    for found in (
        [signed_rank(values, confidence)[1] for values in draws],
        [sign_median(values, confidence) for values in draws],
    ):
        held = np.mean([bounds.low <= 2 <= bounds.high for bounds in found])
        assert held > confidence - 0.035
        assert held < 1 or confidence > 0.95
        assert {bounds.confidence for bounds in found} == {confidence}


def test_ranks_give_a_narrower_interval_than_the_median_s() -> None:
    draws = [source(seed).normal(0, 1, 100) for seed in range(30)]
    ranks = [signed_rank(values, 0.99)[1] for values in draws]
    medians = [sign_median(values, 0.99) for values in draws]
    widths = [np.mean([one.high - one.low for one in found]) for found in (ranks, medians)]
    assert widths[0] < 0.9 * widths[1]


def test_too_few_values_carry_no_sure_interval() -> None:
    least = least_count(0.998)
    assert 2.0 ** (1 - least) <= 0.002 < 2.0 ** (2 - least)
    for interval in (signed_rank, sign_median):
        interval(np.arange(1.0, least + 1), 0.998)
        with pytest.raises(MeasurementError, match=f"{least} are needed"):
            interval(np.arange(1.0, least), 0.998)


def test_looks_share_their_error_rate() -> None:
    assert Looks(1).confidence == pytest.approx(0.95)
    assert Looks(3).confidence == pytest.approx(1 - 0.05 / 3)
    assert Looks(6, error_rate=0.01).confidence == pytest.approx(0.99833, abs=1e-5)


def test_a_ratio_s_interval_comes_from_pairs_of_rounds() -> None:
    noise = source(5).normal(1, 0.05, (40, 1))
    reference, subject = (2 * noise).tolist(), noise.tolist()
    interval = ratio_interval(reference, subject, 0.98)
    assert (interval.low, interval.high) == (pytest.approx(2), pytest.approx(2))
    assert interval.confidence == 0.98
    with pytest.raises(MeasurementError, match="cannot pair 40 rounds with 39"):
        ratio_interval(reference, subject[1:], 0.98)


def wrong_share(confidence: float) -> float:
    """Share of true ratios of 1 that one of three growing looks takes for another."""
    wrong = 0
    for seed in range(1000, 2000):
        logs = source(seed).normal(0, 0.02, 60)
        bounds = [signed_rank(logs[:end], confidence)[1] for end in (15, 30, 60)]
        wrong += any(interval.low > 0 or interval.high < 0 for interval in bounds)
    return wrong / 1000


def test_three_looks_at_the_edge_keep_the_error_rate_of_one() -> None:
    assert wrong_share(Looks(3).confidence) <= 0.05
    assert wrong_share(0.95) > 0.08
