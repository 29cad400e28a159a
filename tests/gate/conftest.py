from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from brief_target import brief_profile
from onnx import TensorProto, helper, numpy_helper

from edgespiral.measure.profile import TargetProfile


def info(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


@pytest.fixture
def chain(tmp_path: Path) -> Callable[..., Path]:
    """Makes a model of equal 3x3 convolutions, whose latency grows with their number."""

    def make(
        name: str = "net.onnx",
        layers: int = 1,
        size: int = 16,
        batch: int | str = 1,
        seed: int = 0,
        output: str = "y",
    ) -> Path:
        weight = np.random.default_rng(seed).normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)
        names = ["x", *(f"h{i}" for i in range(1, layers)), output]
        nodes = [
            helper.make_node("Conv", [names[i], "w"], [names[i + 1]], pads=[1, 1, 1, 1])
            for i in range(layers)
        ]
        shape = (batch, 16, size, size)
        graph = helper.make_graph(
            nodes,
            "chain",
            [info("x", *shape)],
            [info(output, *shape)],
            [numpy_helper.from_array(weight, "w")],
        )
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
        return path

    return make


@pytest.fixture
def suite_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a suite with one model table for each text, after the suite's own keys."""

    def write(*models: str, own: str = "") -> Path:
        tables = "\n".join(f"[[model]]\n{model}" for model in models)
        path = tmp_path / "suite.toml"
        path.write_text(f"schema = 1\n{own}\n{tables}\n")
        return path

    return write


@pytest.fixture
def profile() -> TargetProfile:
    """A local target that measures briefly."""
    return brief_profile()
