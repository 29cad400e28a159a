import pytest
from pydantic import ValidationError

from edgespiral.core.records.measurement import Interval, Verdict
from edgespiral.gate.records import CaseResult, gravest


@pytest.mark.parametrize(
    ("verdicts", "gravest_one"),
    [
        ("met measured", "met"),
        ("measured", "measured"),
        ("met undecided", "undecided"),
        ("undecided error met", "error"),
        ("error undecided missed met", "missed"),
    ],
)
def test_the_gravest_verdict_is_the_whole_s(verdicts: str, gravest_one: str) -> None:
    assert gravest([Verdict(verdict) for verdict in verdicts.split()]) == gravest_one


def test_what_was_not_measured_is_no_reference() -> None:
    case = CaseResult(name="a", model="a.onnx", verdict=Verdict.ERROR, seconds=1)
    assert case.as_reference("main") is None


@pytest.mark.parametrize("confidence", [0, 1, 99])
def test_a_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValidationError, match="confidence"):
        Interval(low=1, high=2, confidence=confidence)
