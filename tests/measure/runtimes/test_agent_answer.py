import json
from pathlib import Path

import pytest

from edgespiral.core.errors import EdgeSpiralError, MeasurementError, ModelError, TargetError
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes import Job
from edgespiral.measure.runtimes.agent_answer import agent_document, whole_answer

JOB = Job("measure", (Path("a.onnx"), Path("b.onnx")), 5, 1.0, 2.0, 3, 4)


def test_the_last_line_is_the_document() -> None:
    assert agent_document(Completed(0, 'loading\n{"a": 1}\n', ""), JOB) == {"a": 1}


@pytest.mark.parametrize(
    ("kind", "model", "error", "text"),
    [
        ("model", 1, ModelError, "b.onnx: bad; mend it"),
        ("target", None, TargetError, "bad; mend it"),
        ("measurement", 0, MeasurementError, "a.onnx: bad; mend it"),
    ],
)
def test_what_the_agent_says_is_wrong_is_raised(
    kind: str, model: int | None, error: type[EdgeSpiralError], text: str
) -> None:
    told = {"error": {"kind": kind, "what": "bad", "hint": "mend it", "model": model}}
    with pytest.raises(error) as caught:
        agent_document(Completed(1, json.dumps(told), ""), JOB)
    assert str(caught.value) == text


@pytest.mark.parametrize("stdout", ["", "[1]", '{"half": '])
def test_no_document_is_no_measurement(stdout: str) -> None:
    with pytest.raises(MeasurementError, match="the measuring process broke off in its answer"):
        agent_document(Completed(0, stdout, ""), JOB)


def test_an_answer_has_every_part() -> None:
    with pytest.raises(MeasurementError, match="not valid: device: Field required"):
        whole_answer({}, JOB)
