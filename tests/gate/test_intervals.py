import numpy as np
import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.core.statistics.intervals import round_medians, signed_rank
from edgespiral.gate.intervals import difference_of_means, drift, process_tails, tail_ratio


def source(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_means_of_processes_differ_as_often_as_they_say(confidence: float) -> None:
    draws = [source(seed).laplace(2, 1, 30) for seed in range(400)]
    found = [difference_of_means(v[:10] - 2, v[10:], confidence)[1] for v in draws]
    held = np.mean([bounds.low <= 2 <= bounds.high for bounds in found])
    assert held > confidence - 0.035
    assert held < 1 or confidence > 0.95
    assert {bounds.confidence for bounds in found} == {confidence}


def test_too_few_processes_carry_no_comparison() -> None:
    with pytest.raises(MeasurementError, match="2 measuring processes"):
        difference_of_means(np.ones(2), np.ones(5), 0.99)


def rounds(seed: int, tail: float) -> list[list[float]]:
    samples = source(seed).normal(1, 0.01, (60, 20))
    slow = source(seed + 1).random(samples.shape) < 0.03
    return np.where(slow, samples * tail, samples).tolist()


def test_a_longer_tail_shows_where_medians_are_equal() -> None:
    reference, subject = rounds(1, 1.2), rounds(7, 2.0)
    found = tail_ratio(reference, subject, 0.99)
    assert found is not None
    ratio, bounds = found
    assert 1.4 < bounds.low <= ratio <= bounds.high < 1.9
    change, _ = signed_rank(np.log(round_medians(subject) / round_medians(reference)), 0.99)
    assert abs(change) < 0.01


def test_the_tail_of_few_samples_is_not_told() -> None:
    few = [[1.0] * 9] * 50
    assert tail_ratio(few, few, 0.99) is None
    enough = [[1.0] * 10] * 50
    found = tail_ratio(enough, enough, 0.99)
    assert found is not None
    assert found[0] == found[1].low == found[1].high == 1


def test_a_drift_is_a_sure_and_large_difference_between_the_last_quarter_and_the_rest() -> None:
    steady = 1 + 0.01 * source(0).normal(size=40)
    slowed = steady * np.repeat([1.0, 1.2], [30, 10])
    assert drift(steady, 0.998) is None
    found = drift(slowed, 0.998)
    assert found is not None
    assert found[1] / found[0] == pytest.approx(1.2, rel=0.01)
    # Sure, but small; large, but unsure.
    assert drift(steady * np.repeat([1.0, 1.05], [30, 10]), 0.998) is None
    assert drift(np.array([1.0, 2.0, 1.0, 1.0, 1.0, 2.0]), 0.998) is None


def test_processes_have_tails_where_their_samples_carry_them() -> None:
    full, few = [[1.0] * 49 + [9.0]] * 10, [[5.0] * 50] * 2
    assert process_tails([*full, *few, *full], [10, 2, 10]).tolist() == [9.0, 9.0]
