import numpy as np
import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.core.records.measurement import Interval, Verdict
from edgespiral.gate.checks import CONFIDENCE, LatencySamples, Limits, judge, lacks_tail, verdict_of


def taken(
    seed: int, latency_ms: float, processes: int = 1, spread: float = 0.0, samples: int = 8
) -> LatencySamples:
    """Samples of 1 % noise, in processes whose levels differ by `spread`."""
    source, found = np.random.default_rng(seed), LatencySamples()
    for _ in range(processes):
        level = latency_ms * np.exp(source.normal(0, spread))
        found.add((level * np.exp(source.normal(0, 0.01, (40, samples)))).tolist())
    return found


def kinds(
    limits: Limits, subject: LatencySamples, reference: LatencySamples | None, **how: bool
) -> dict[str, str]:
    return {check.kind: check.verdict for check in judge(limits, subject, reference, **how)}


def test_an_interval_is_within_above_or_astride_the_limit() -> None:
    bounds = Interval(low=1, high=2, confidence=0.99)
    verdicts = [verdict_of(bounds, limit) for limit in (2.0, 1.5, 0.9, None)]
    assert verdicts == ["met", "undecided", "missed", "measured"]


@pytest.mark.parametrize(
    ("budget_ms", "verdict"), [(1.1, "met"), (0.9, "missed"), (1.0, "undecided")]
)
def test_a_budget_is_judged_by_the_median(budget_ms: float, verdict: str) -> None:
    [check] = judge(Limits(budget_ms=budget_ms), taken(1, 1.0), None)
    assert (check.kind, check.verdict, check.limit) == ("budget", verdict, budget_ms)
    assert check.bounds.low < check.value < check.bounds.high
    assert check.bounds.confidence == CONFIDENCE


@pytest.mark.parametrize(
    ("slower", "verdict"), [(1.0, "met"), (1.05, "missed"), (0.8, "met"), (1.025, "undecided")]
)
@pytest.mark.parametrize("paired", [True, False])
def test_a_change_is_judged_by_its_interval(slower: float, verdict: str, paired: bool) -> None:
    spread = 0.0 if paired else 0.002
    reference, subject = taken(1, 1.0, 10, spread), taken(2, slower, 10, spread)
    checks = judge(Limits(tolerance_percent=2.5), subject, reference, paired=paired)
    check = checks[0]
    assert (check.kind, check.verdict) == ("median", verdict)
    assert check.bounds.low <= 100 * (slower - 1) <= check.bounds.high


def test_a_reference_without_a_tolerance_is_reported_only() -> None:
    assert kinds(Limits(), taken(1, 2.0), taken(2, 1.0)) == {"median": Verdict.MEASURED}


def test_the_tail_is_judged_in_pairs_where_samples_carry_it() -> None:
    limits = Limits(tolerance_percent=2.5, tail_tolerance_percent=20)
    few, reference = taken(1, 1.0), taken(3, 1.0, 2)
    longer = with_long_tail(taken(2, 1.0, 2))
    assert kinds(limits, few, few) == {"median": "met"}
    assert kinds(limits, longer, reference) == {"median": "met", "tail": "missed"}


def with_long_tail(subject: LatencySamples) -> LatencySamples:
    rounds = [[*samples[:-1], 2 * samples[-1]] for samples in subject.rounds_ms]
    return LatencySamples(rounds, subject.processes)


def test_the_tail_is_judged_against_a_stored_baseline_too() -> None:
    limits = Limits(tolerance_percent=2.5, tail_tolerance_percent=20)
    reference, subject = taken(1, 1.0, 10, samples=16), taken(2, 1.0, 5, samples=16)
    how = {"paired": False}
    assert kinds(limits, subject, reference, **how) == {"median": "met", "tail": "met"}
    longer = with_long_tail(subject)
    assert kinds(limits, longer, reference, **how) == {"median": "met", "tail": "missed"}
    few = taken(3, 1.0, 5)
    assert kinds(limits, few, reference, **how) == {"median": "met"}


def test_a_limited_tail_that_was_not_judged_is_lacking() -> None:
    limits = Limits(tolerance_percent=2.5, tail_tolerance_percent=20)
    few, enough = taken(1, 1.0), taken(1, 1.0, 2)
    assert lacks_tail(limits, judge(limits, few, few))
    assert not lacks_tail(limits, judge(limits, enough, enough))
    assert not lacks_tail(Limits(tolerance_percent=2.5), judge(limits, few, few))
    # Without a reference there is nothing that p99 could have grown from.
    assert not lacks_tail(limits, judge(limits, few, None))


@pytest.mark.parametrize(
    ("budget_ms", "verdict", "drifted"),
    [(1.25, "undecided", True), (0.9, "missed", False), (1.6, "met", False)],
)
def test_a_device_that_throttles_across_the_budget_is_not_judged(
    budget_ms: float, verdict: str, drifted: bool
) -> None:
    # A fifth of the rounds is at the slower level: the median and its interval are not.
    subject = taken(1, 1.0)
    subject.rounds_ms[32:] = [[1.5 * ms for ms in samples] for samples in subject.rounds_ms[32:]]
    [check] = judge(Limits(budget_ms=budget_ms), subject, None)
    assert (check.verdict, check.drift_percent is not None) == (verdict, drifted)
    assert check.bounds.high < 1.25
    # More samples at that level settle it.
    subject.add([[1.5 * ms for ms in samples] for samples in taken(2, 1.0, 3).rounds_ms])
    [check] = judge(Limits(budget_ms=1.25), subject, None)
    assert (check.verdict, check.drift_percent) == ("missed", None)


def test_no_samples_are_no_verdict() -> None:
    with pytest.raises(MeasurementError, match="no samples were taken"):
        judge(Limits(budget_ms=1), LatencySamples(), None)
    with pytest.raises(MeasurementError, match="rounds carry no interval"):
        judge(Limits(budget_ms=1), LatencySamples([[1.0]] * 6, [6]), None)
