import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.measurement import Interval, Verdict
from edgespiral.core.statistics.stats import paired_ratio, summarise, tail_share, verdict

ROUNDS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(5, 12), st.integers(1, 12)),
    elements=st.floats(1e-3, 1e4),
)
EXPERIMENTS = 300


def noisy(source: np.random.Generator, rounds: int, drift: float) -> np.ndarray:
    """Latencies around a median of 1 ms whose rounds share a drift."""
    shared = source.normal(0, drift, (rounds, 1))
    return np.exp(shared + source.normal(0, 0.03, (rounds, 15)))


@given(ROUNDS)
def test_the_order_statistics_are_those_of_all_samples(rounds: np.ndarray) -> None:
    stats = summarise(rounds.tolist())
    assert stats.count == rounds.size
    assert stats.p50_ms == pytest.approx(np.median(rounds))
    assert rounds.min() <= stats.p50_ci95_ms.low <= stats.p50_ci95_ms.high <= rounds.max()


@given(ROUNDS, st.floats(0.01, 100))
def test_a_change_of_unit_changes_nothing_else(rounds: np.ndarray, factor: float) -> None:
    plain, scaled = summarise(rounds.tolist()), summarise((factor * rounds).tolist())
    assert scaled.p50_ms == pytest.approx(factor * plain.p50_ms)
    assert scaled.p50_ci95_ms.high == pytest.approx(factor * plain.p50_ci95_ms.high)


@given(ROUNDS)
def test_figures_are_the_same_every_time(rounds: np.ndarray) -> None:
    assert summarise(rounds.tolist()) == summarise(rounds.tolist())


@given(ROUNDS, st.floats(0.1, 10))
def test_a_shared_drift_leaves_the_ratio_alone(rounds: np.ndarray, factor: float) -> None:
    ratio = paired_ratio((factor * rounds).tolist(), rounds.tolist())
    bounds = (ratio.value, ratio.ci95.low, ratio.ci95.high)
    assert bounds == pytest.approx((factor,) * 3)


def test_rounds_may_differ_in_length() -> None:
    rounds = [[1.0], [2.0, 2.0], [3.0], [2.0], [2.0, 1.0, 3.0]]
    assert summarise(rounds).p50_ms == 2.0
    assert paired_ratio(rounds, [[1.0]] * 5).value == 2.0


@pytest.mark.parametrize("sizes", [[40] * 12, [3, 1, 8, 2, 5, 30]])
def test_the_interval_is_that_of_medians_of_pooled_samples(sizes: list[int]) -> None:
    generator = np.random.default_rng(4)
    # Rounded, so that many samples are the same.
    rounds = [generator.lognormal(0, 0.1, size).round(2) for size in sizes]
    chosen = np.random.default_rng(0).integers(0, len(rounds), size=(1000, len(rounds)))
    medians = [np.median(np.concatenate([rounds[i] for i in row])) for row in chosen]
    tail = tail_share(len(rounds))
    low, high = np.quantile(medians, [tail, 1 - tail])
    assert summarise(rounds).p50_ci95_ms == Interval(low=low, high=high)


@pytest.mark.parametrize(
    ("count", "p90", "p99"),
    [(49, False, False), (50, True, False), (499, True, False), (500, True, True)],
)
def test_percentiles_need_samples_beyond_them(count: int, p90: bool, p99: bool) -> None:
    samples = np.linspace(1, 2, count)
    stats = summarise(np.array_split(samples, 7))
    assert (stats.p90_ms is not None, stats.p99_ms is not None) == (p90, p99)
    if stats.p90_ms is not None:
        assert stats.p90_ms == pytest.approx(np.percentile(samples, 90))


@pytest.mark.slow
@pytest.mark.parametrize(("rounds", "drift"), [*itertools.product((5, 10, 25), (0.0, 0.05))])
def test_the_interval_holds_the_median_as_often_as_it_says(rounds: int, drift: float) -> None:
    source = np.random.default_rng(rounds)
    intervals = [summarise(noisy(source, rounds, drift)).p50_ci95_ms for _ in range(EXPERIMENTS)]
    share = np.mean([one.low <= 1 <= one.high for one in intervals])
    # 95 % less three standard errors and what a bootstrap of so few clusters may lack.
    assert 0.90 <= share <= 0.99


@pytest.mark.slow
def test_samples_taken_as_independent_would_promise_too_much() -> None:
    source = np.random.default_rng(3)
    held = {"rounds": 0, "mixed": 0}
    for _ in range(100):
        taken = noisy(source, 25, 0.05)
        mixed = source.permutation(taken.ravel()).reshape(taken.shape)
        for name, rounds in (("rounds", taken), ("mixed", mixed)):
            interval = summarise(rounds).p50_ci95_ms
            held[name] += interval.low <= 1 <= interval.high
    assert held["mixed"] < 70 < 88 <= held["rounds"]


@pytest.mark.parametrize("rounds", [5, 25])
def test_the_ratio_interval_holds_the_truth_in_spite_of_drift(rounds: int) -> None:
    source = np.random.default_rng(7)
    held, widths = [], []
    for _ in range(EXPERIMENTS):
        shared = np.exp(source.normal(0, 0.2, (rounds, 1)))
        pair = (shared * noisy(source, rounds, 0.01) for _ in range(2))
        reference, subject = pair
        ratio = paired_ratio(2.2 * reference, subject)
        held.append(ratio.ci95.low <= 2.2 <= ratio.ci95.high)
        widths.append(ratio.ci95.high - ratio.ci95.low)
    assert 0.90 <= np.mean(held) <= 0.995
    assert np.median(widths) < 0.2


def test_tails_follow_student() -> None:
    # t(4, 0.975) = 2.776, stretched by sqrt(5 / 4): 3.104 standard deviations.
    assert tail_share(5) == pytest.approx(0.5 * math.erfc(3.104 / math.sqrt(2)), rel=0.03)
    assert tail_share(10**6) == pytest.approx(0.025, rel=1e-3)


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ([], "no samples"),
        ([[], []], "no samples"),
        ([[1.0]] * 5 + [[]], "round 5: no samples"),
        ([[1.0]] * 4, "4 rounds carry no interval, 5 are needed"),
        ([[1.0]] * 5 + [[float("nan")]], "round 5: a latency of nan ms"),
        ([[1.0]] * 5 + [[float("inf")]], "round 5: a latency of inf ms"),
        ([[0.0]] + [[1.0]] * 5, "round 0: a latency of 0 ms"),
        ([[1.0, -2.0]] + [[1.0]] * 5, "round 0: a latency of -2 ms"),
    ],
)
def test_no_data_and_impossible_data_are_errors(rounds: list[list[float]], message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        summarise(rounds)
    with pytest.raises(MeasurementError, match=message):
        paired_ratio([[1.0]] * max(5, len(rounds)), rounds)


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(MeasurementError, match="cannot pair 6 rounds with 5"):
        paired_ratio([[1.0]] * 6, [[1.0]] * 5)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.8, 0.9, Verdict.MET),
        (0.8, 1.0, Verdict.MET),
        (0.9, 1.1, Verdict.UNDECIDED),
        (1.0, 1.1, Verdict.UNDECIDED),
        (1.01, 1.1, Verdict.MISSED),
    ],
)
def test_a_verdict_takes_the_whole_interval(low: float, high: float, expected: Verdict) -> None:
    assert verdict(Interval(low=low, high=high), 1.0) is expected


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(budget: float) -> None:
    with pytest.raises(MeasurementError, match="budget must be a positive number"):
        verdict(Interval(low=1, high=2), budget)
