"""Whatever OpenVINO's and ncnn's agents say: a figure of what was asked for, or one error."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from edgespiral.core.errors import EdgeSpiralError
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.base import Answer, Job
from edgespiral.measure.runtimes.ncnn.runtime import Ncnn
from edgespiral.measure.runtimes.ncnn.settings import NcnnSettings
from edgespiral.measure.runtimes.openvino.runtime import OpenVino
from edgespiral.measure.runtimes.openvino.settings import OpenVinoSettings
from tests.faults import answers

RUNTIMES = {
    "openvino": OpenVino(OpenVinoSettings(kind="openvino")),
    "ncnn": Ncnn(NcnnSettings(kind="ncnn")),
}
NODE = {
    "kind": "Convolution",
    "inputs": [[1, 3, 8, 8], [16, 3, 3, 3]],
    "outputs": [[1, 16, 8, 8]],
    "reads": ["input"],
    "mean_us": 12.0,
}
RECURRENT = {
    "kind": "LSTMSequence",
    "inputs": [[1, 5, 8], [1, 1, 4], [1, 16, 8]],
    "outputs": [[1, 1, 5, 4]],
    "reads": ["input"],
    "mean_us": 12.0,
}
forged = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def job(mode: Any) -> Job:
    return Job(mode, (Path("a.onnx"),), answers.ROUNDS, 1.0, 2.0, 2, 1000, input_count=4)


def parsed(kind: str, mode: str, document: Any) -> Answer:
    printed = Completed(0, json.dumps(document) + "\n", "")
    return RUNTIMES[kind].parse(printed, job(mode))


def taken(kind: str, mode: str, document: Any) -> Answer | None:
    """What is read from a document; None where it is refused in words."""
    try:
        return parsed(kind, mode, document)
    except EdgeSpiralError:
        return None


def honest(kind: str) -> dict[str, Any]:
    document = answers.honest(kind)
    document["runtime"]["float_precision"] = "fp32"
    return _without_places(document)


def _without_places(document: dict[str, Any]) -> dict[str, Any]:
    """What ONNX Runtime's agent alone tells is left out: where its nodes run."""
    document.pop("placed", None)
    return document


@pytest.mark.parametrize("kind", RUNTIMES)
def test_an_honest_answer_is_taken(kind: str) -> None:
    assert len(parsed(kind, "measure", honest(kind)).samples) == 1


@pytest.mark.parametrize("kind", RUNTIMES)
def test_forged_times_are_one_clear_error_or_times(kind: str) -> None:
    @seed(0)
    @forged
    @given(answers.documents())
    def tried(document: dict[str, Any]) -> None:
        if isinstance(document.get("runtime"), dict):
            document["runtime"] |= {"runtime": kind, "float_precision": "fp32"}
        answer = taken(kind, "measure", _without_places(document))
        if answer is not None:
            rounds = answer.samples[0].rounds_ms
            assert len(rounds) == answers.ROUNDS
            assert all(answers.is_time(ms) for times in rounds for ms in times)

    tried()


def test_forged_layers_are_one_clear_error_or_layers() -> None:
    sizes = st.one_of(answers.values, st.lists(st.lists(st.integers(-1, 70), max_size=5)))
    changes = st.fixed_dictionaries(
        {},
        optional={
            "kind": st.one_of(st.just("FullyConnected"), answers.values),
            "inputs": sizes,
            "outputs": sizes,
            "reads": answers.values,
            "mean_us": st.one_of(answers.numbers, answers.values),
        },
    )

    @seed(0)
    @forged
    @given(st.sampled_from((NODE, RECURRENT)), changes, st.integers(1, 3))
    def tried(node: dict[str, Any], change: dict[str, Any], count: int) -> None:
        document = honest("openvino") | {"nodes": [[node, *[node | change] * count]]}
        del document["samples"]
        answer = taken("openvino", "profile", document)
        for layer in answer.layers[0] if answer else ():
            assert math.isfinite(layer.latency_ms)
            assert layer.latency_ms > 0
            shapes = (*layer.input_shape, *layer.weight_shape, *layer.output_shape)
            assert all(size >= 1 for size in shapes)

    tried()


@pytest.mark.parametrize("kind", RUNTIMES)
@pytest.mark.parametrize(
    "forge",
    [
        {"runtime": "onnxruntime"},
        {"threads": 4},
        {"threads": 0},
        {"runtime_version": 7},
        {"provider": None},
        {"affinity": [-1]},
    ],
)
def test_an_answer_of_something_else_is_none(kind: str, forge: dict[str, Any]) -> None:
    document = copy.deepcopy(honest(kind))
    document["runtime"] |= forge
    with pytest.raises(EdgeSpiralError, match="the device's answer is not valid"):
        parsed(kind, "measure", document)


def test_openvino_in_another_precision_is_none() -> None:
    document = honest("openvino")
    document["runtime"]["float_precision"] = "bf16"
    with pytest.raises(EdgeSpiralError, match="its float_precision is bf16, asked for was fp32"):
        parsed("openvino", "measure", document)
