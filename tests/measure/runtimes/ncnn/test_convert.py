"""Conversion alone; test_ncnn_agent.py runs what comes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edgespiral.core.errors import ModelError
from edgespiral.measure.runtimes.ncnn.convert import converted

pytest.importorskip("pnnx", reason="the ncnn extra is not installed")

Make = Callable[..., Path]


def identity(path: Path, kind: int) -> Path:
    values = [helper.make_tensor_value_info(name, kind, [1, 3]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "one", values[:1], values[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_agent_learns_names_shapes_and_where_the_batch_is(
    convolution: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "converted"
    folder.mkdir()
    files = converted(convolution(), folder, {})
    assert files.about == {
        "inputs": {"x": [1, 3, 16, 16]},
        "outputs": ["y"],
        "axes": {"in0": 0, "out0": 0},
    }
    assert files.files["model.ncnn.param"].read_text().splitlines()[0] == "7767517"
    # A 3x3 convolution of 3 to 32 channels and a layer of 32 to 10 features, in 4 bytes each.
    assert files.files["model.ncnn.bin"].stat().st_size >= 4 * (32 * 3 * 9 + 32 * 10)


def test_what_is_not_of_float32_is_refused(tmp_path: Path) -> None:
    model = identity(tmp_path / "ids.onnx", TensorProto.INT64)
    with pytest.raises(ModelError, match="ncnn takes no input as 'x': not float32"):
        converted(model, tmp_path, {})


def test_what_pnnx_does_not_convert_is_told(convolution: Make, tmp_path: Path) -> None:
    folder = tmp_path / "converted"
    folder.mkdir()
    with pytest.raises(ModelError, match="pnnx cannot convert it"):
        converted(convolution(), folder, {"": (1, 4, 16, 16)})
