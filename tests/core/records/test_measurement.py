import pytest
from pydantic import ValidationError

from edgespiral.core.records.measurement import Interval, LatencyStats, Ratio, Verdict


def test_a_missing_measurement_is_never_zero() -> None:
    around = Interval(low=0.9, high=1.1)
    with pytest.raises(ValidationError, match="count"):
        LatencyStats(count=0, p50_ms=1.0, p50_ci95_ms=around, p90_ms=None, p99_ms=None)
    with pytest.raises(ValidationError, match="p50_ms"):
        LatencyStats(count=9, p50_ms=0.0, p50_ci95_ms=around, p90_ms=None, p99_ms=None)
    with pytest.raises(ValidationError, match="value"):
        Ratio(value=0, ci95=around)


def test_verdicts_of_before_are_none_of_today_s() -> None:
    assert Verdict("met") is Verdict.MET
    for word in ("pass", "regressed"):
        with pytest.raises(ValueError, match=word):
            Verdict(word)
