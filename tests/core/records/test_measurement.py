import pytest
from example_records import measurement
from pydantic import ValidationError

from edgespiral.core.records.measurement import (
    DECISIVE,
    Fingerprint,
    Interval,
    LatencyStats,
    Measurement,
    Race,
    RaceRow,
    Ratio,
    Verdict,
    differences,
)
from edgespiral.core.statistics.stats import paired_ratio

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


def a_race(reference: int, winner: int) -> Race:
    """Of two runtimes, the first of which is twice as fast, and one that has no figure."""
    about = {"precision": "fp32", "threads": 1}
    twice = Ratio(value=2.0, ci95=Interval(low=1.9, high=2.1))
    fast = RaceRow(runtime="swift", measurement=measurement(1.0), speedup=twice, **about)
    own = RaceRow(runtime="own", measurement=measurement(2.0), **about)
    absent = RaceRow(runtime="absent", refused="is not installed", **about)
    return Race(
        target="board",
        model="net.onnx",
        samples="none",
        rows=(fast, own, absent),
        reference=reference,
        winner=winner,
    )


def test_a_race_is_won_by_what_is_surely_faster() -> None:
    assert a_race(reference=1, winner=0).won.runtime == "swift"
    for reference, winner, words in ((1, 1, "1 has not won"), (1, 2, "no figure"), (9, 0, "row 9")):
        with pytest.raises(ValidationError, match=words):
            a_race(reference, winner)


def test_a_speed_up_is_that_of_the_rounds_beside_it() -> None:
    subject = measurement(2.0, rounds_ms=((2.0,),) * 5)
    ratio = paired_ratio(((4.0,),) * 5, subject.rounds_ms)
    ratio.require_of(subject)
    with pytest.raises(ValueError, match="a speed-up of 2, which by its rounds is 1"):
        ratio.require_of(measurement(4.0, rounds_ms=((4.0,),) * 5))
