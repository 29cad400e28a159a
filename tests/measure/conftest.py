from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from brief_target import brief_profile
from onnx import TensorProto, helper, numpy_helper

from edgespiral.measure.profile import TargetProfile


def tensor(name: str, *shape: int) -> onnx.TensorProto:
    values = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def info(name: str, shape: list[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def write(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any]
) -> Path:
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


@pytest.fixture
def convolution(tmp_path: Path) -> Callable[..., Path]:
    """Makes a model: a 3x3 convolution, ReLU, pooling and a fully connected layer."""

    def make(
        name: str = "net.onnx", channels: int = 32, size: int = 16, batch: int | str = 1
    ) -> Path:
        nodes = [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["g"]),
            helper.make_node("Flatten", ["g"], ["f"]),
            helper.make_node("Gemm", ["f", "v", "u"], ["y"], name="fc", transB=1),
        ]
        weights = [
            tensor("w", channels, 3, 3, 3),
            tensor("b", channels),
            tensor("v", 10, channels),
            tensor("u", 10),
        ]
        inputs, outputs = [info("x", [batch, 3, size, size])], [info("y", [batch, 10])]
        return write(tmp_path / name, nodes, inputs, outputs, weights)

    return make


@pytest.fixture
def profile() -> TargetProfile:
    """A local target that measures briefly."""
    return brief_profile()


@pytest.fixture
def recurrent(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model of one bidirectional recurrent layer over 7 steps."""

    def write_layer(kind: str, *, features: int, hidden: int) -> Path:
        rows = {"LSTM": 4, "GRU": 3}[kind] * hidden
        options = {"hidden_size": hidden, "direction": "bidirectional"}
        node = helper.make_node(kind, ["x", "w", "r"], ["y"], **options)
        weights = [tensor("w", 2, rows, features), tensor("r", 2, rows, hidden)]
        inputs, outputs = [info("x", [7, 1, features])], [info("y", [7, 2, 1, hidden])]
        return write(tmp_path / "recurrent.onnx", [node], inputs, outputs, weights)

    return write_layer
