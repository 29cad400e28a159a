import pytest
from example_records import measurement
from pydantic import ValidationError

from edgespiral.core.records.measurement import (
    DECISIVE,
    Fingerprint,
    Interval,
    LatencyStats,
    Measurement,
    Ratio,
    Verdict,
    differences,
)

NAMES = ("device", "architecture", "operating_system", "runtime", "runtime_version", "provider")
HERE = Fingerprint(**dict.fromkeys(NAMES, "x"), cores=2, threads=1, precision="fp32")


def test_what_does_not_decide_a_latency_is_no_difference() -> None:
    later = {"operating_system": "y", "temperature_before_c": 60.0, "frequency_after_mhz": 900.0}
    assert differences(HERE, HERE.model_copy(update=later)) == []


@pytest.mark.parametrize("name", DECISIVE)
def test_what_decides_a_latency_is_told_with_both_values(name: str) -> None:
    now = HERE.model_copy(update={name: "other"})
    was = getattr(HERE, name)
    assert differences(HERE, now) == [f"{name.replace('_', ' ')} was {was}, is other"]


def test_a_measurement_that_is_missing_differs_in_all() -> None:
    assert len(differences(None, HERE)) == len([n for n in DECISIVE if getattr(HERE, n)])


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


def test_a_measurement_is_read_back_sample_by_sample() -> None:
    taken = measurement(1.5, rounds_ms=((1.25, 1.5), (1.75,)))
    again = Measurement.model_validate_json(taken.model_dump_json())
    assert again == taken
    assert again.rounds_ms == ((1.25, 1.5), (1.75,))
