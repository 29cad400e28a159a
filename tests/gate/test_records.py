import pytest
from pydantic import ValidationError

from edgespiral.core.records.measurement import (
    Interval,
)
from edgespiral.gate.records import CaseResult, GateVerdict, gravest


@pytest.mark.parametrize(
    ("verdicts", "gravest_one"),
    [
        ("pass measured", "pass"),
        ("measured", "measured"),
        ("pass undecided", "undecided"),
        ("undecided error pass", "error"),
        ("error undecided regressed pass", "regressed"),
    ],
)
def test_the_gravest_verdict_is_the_whole_s(verdicts: str, gravest_one: str) -> None:
    assert gravest([GateVerdict(verdict) for verdict in verdicts.split()]) == gravest_one


def test_what_was_not_measured_is_no_reference() -> None:
    case = CaseResult(name="a", model="a.onnx", verdict=GateVerdict.ERROR, seconds=1)
    assert case.as_reference("main") is None


@pytest.mark.parametrize("confidence", [0, 1, 99])
def test_a_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValidationError, match="confidence"):
        Interval(low=1, high=2, confidence=confidence)
