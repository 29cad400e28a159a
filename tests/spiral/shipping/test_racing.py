"""Runtimes held to what a file computes here: by ONNX Runtime, and by OpenVINO where it is."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgespiral.core.errors import DataError, ModelError, UsageError
from edgespiral.core.nested import leaves
from edgespiral.export.nearness import ParityLimits
from edgespiral.export.parity import opened
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.racing.entrants import Entrant, entrants
from edgespiral.measure.session import Session
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.report.formats import sqnr
from edgespiral.spiral.shipping import racing
from edgespiral.spiral.shipping.racing import made_up_inputs, raced
from edgespiral.spiral.shipping.tapped_module import FILE, write_tapped_module


@pytest.fixture
def profile() -> TargetProfile:
    brief = {"warmup_ms": 2, "rounds": 5, "round_ms": 1, "min_samples": 5}
    runtime, transport = {"kind": "onnxruntime"}, {"kind": "local", "timeout_s": 60}
    table = {"schema": 1, "name": "brief", "runtime": runtime, "transport": transport}
    return TargetProfile.model_validate(table | {"measure": brief})


@pytest.fixture
def cancelling(tmp_path: Path) -> Path:
    """The difference of two products that are alike to one part in a thousand, beside one."""
    weight = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["x", "v"], ["b"]),
        helper.make_node("Sub", ["a", "b"], ["gap"]),
    ]
    weights = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(weight * 1.001, "v")]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("a", "gap")
    ]
    graph = helper.make_graph(nodes, "cancelling", inputs, outputs, weights)
    opset = helper.make_opsetid("", 17)
    path = tmp_path / "cancelling.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def test_one_whose_output_is_another_has_no_figure(
    cancelling: Path, profile: TargetProfile
) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    shapes = {"": (1, 8)}
    inputs = made_up_inputs(cancelling, shapes)
    result = raced(
        cancelling, entrants(profile), inputs, samples="made-up", shapes=shapes, passes=1
    )
    rows = {(row.runtime, row.precision): row for row in result.rows}
    exact = rows["openvino", "fp32"]
    assert exact.measurement is not None
    assert exact.parity is not None
    assert exact.parity.samples == 16
    assert exact.parity.sqnr_db is None or exact.parity.sqnr_db > 40
    rounded = rows["openvino", "bf16"]
    assert rounded.measurement is None
    # Where the processor has no bfloat16, that is the reason.
    assert str(rounded.refused).startswith(("output gap differs: ", "CPU does not compute in bf16"))


def test_another_answer_where_0_is_right_has_no_figure(
    profile: TargetProfile, tmp_path: Path
) -> None:
    def deciding(name: str, biases: list[float]) -> Path:
        weights = [
            numpy_helper.from_array(np.zeros((4, 8), np.float32), "w"),
            numpy_helper.from_array(np.array(biases, np.float32), "b"),
        ]
        nodes = [
            helper.make_node("Gemm", ["x", "w", "b"], ["a"], transB=1),
            helper.make_node("ArgMax", ["a"], ["y"], axis=1, keepdims=0),
        ]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])]
        outputs = [helper.make_tensor_value_info("y", TensorProto.INT64, [1])]
        graph = helper.make_graph(nodes, "deciding", inputs, outputs, weights)
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / name)
        return tmp_path / name

    right, wrong = deciding("right.onnx", [9, 0, 0, 0]), deciding("wrong.onnx", [0, 0, 0, 9])
    lanes = [Entrant(profile, "fp32"), Entrant(profile, "fp32", file=wrong)]
    result = raced(right, lanes, made_up_inputs(right, {}), samples="made-up", passes=1)
    own, other = sorted(result.rows, key=lambda row: row.measurement is None)
    assert own.parity is not None
    assert sqnr(own.parity) == "exact"
    assert other.measurement is None
    assert str(other.refused).startswith("its output differs: all of its outputs should be 0, on")


def test_the_first_layer_that_differs_is_named(cancelling: Path, profile: TargetProfile) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    shapes = {"": (1, 8)}
    given = made_up_inputs(cancelling, shapes)
    own, *others = entrants(profile, ["onnxruntime", "openvino"])
    hints, far = [], ParityLimits(least_sqnr_db=100.0)
    for lane in (own, *others):
        if lane.precision in ("fp32", "bf16"):
            with Session(lane.profile, shapes=shapes) as session:
                # Rounding in bfloat16 is far from 100 dB, that in float32 of one file is not.
                hints.append(racing._first_diverging(session, cancelling, given, far))
    assert hints[:2] == ["no layer's output does so by itself"] * 2
    # The name that a node without one goes by.
    if hints[2] is None:
        pytest.skip("this processor does not compute in bfloat16")
    assert hints[2].startswith("the first layer whose output differs is node_of_a: ")


def test_samples_are_the_same_every_time_and_each_another(cancelling: Path) -> None:
    first, second = (made_up_inputs(cancelling, {"x": (1, 8)}, count=2) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))  # type: ignore[arg-type]
    assert not torch.equal(first[0], first[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shapes", "error", "what"),
    [
        ({}, ModelError, "input 'x' has no fixed shape: nx8"),
        ({"": (3, 8)}, ModelError, "outputs are compared for a batch of 1"),
        ({"z": (1, 8)}, UsageError, "no input called z"),
    ],
)
def test_samples_that_cannot_be_made_up_are_told(
    cancelling: Path, shapes: dict[str, Any], error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        made_up_inputs(cancelling, shapes)


def test_samples_that_do_not_fit_are_told(cancelling: Path, profile: TargetProfile) -> None:
    with pytest.raises(DataError, match="the samples do not fit the model: "):
        raced(cancelling, entrants(profile), [torch.zeros(1, 5)], samples="others")


class _Branches(torch.nn.Module):
    """A convolution that two layers read, a recurrent layer, and what is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv1d(3, 4, 3, padding=1)
        self.steps = torch.nn.GRU(4, 5, batch_first=True)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.stem(series)).transpose(1, 2)
        states, _ = self.steps(features)
        return self.head(states.mean(1))


def test_a_module_is_made_to_give_what_its_layers_compute(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, sample = _Branches().eval(), torch.randn(1, 3, 7)
    source, goal = tmp_path / "run", tmp_path / "tapped"
    source.mkdir()
    goal.mkdir()
    save_model(trace(model, sample), source)
    assert write_tapped_module(source, goal, sample) == ["stem", "steps", "head"]
    with torch.no_grad():
        stem = model.stem(sample)
        steps, _ = model.steps(torch.relu(stem).transpose(1, 2))
        expected = [stem, steps, model.head(steps.mean(1))]
        given = load_model(goal)(sample)
    outputs = opened(goal / FILE).run(sample)
    for layer, own, output in zip(expected, given, leaves(outputs).values(), strict=True):
        torch.testing.assert_close(own, layer)
        torch.testing.assert_close(output, layer, atol=1e-5, rtol=1e-4)
