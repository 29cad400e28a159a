from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgespiral.core.errors import ModelError, UsageError
from edgespiral.measure.runtimes.android.free_dimensions import free_dimensions

Make = Callable[..., Path]


def test_a_fixed_model_has_none(convolution: Make) -> None:
    model = convolution()
    assert free_dimensions(model, {}) == {}
    assert free_dimensions(model, {"": (1, 3, 16, 16)}) == {}


def test_an_open_size_is_set_by_its_name(convolution: Make) -> None:
    model = convolution(batch="batch")
    assert free_dimensions(model, {"": (4, 3, 16, 16)}) == {"batch": 4}
    assert free_dimensions(model, {"x": (2, 3, 16, 16)}) == {"batch": 2}


def test_an_open_size_has_to_be_given(convolution: Make) -> None:
    with pytest.raises(ModelError, match=r"input 'x' has no fixed shape: batchx3x16x16; give one"):
        free_dimensions(convolution(batch="batch"), {})


@pytest.mark.parametrize(
    ("shapes", "problem"),
    [
        ({"z": (1, 3, 16, 16)}, "no input called z; give a shape by name: x"),
        ({"": (1, 3, 16)}, "input 'x' is batchx3x16x16, not 1x3x16"),
        ({"": (1, 3, 16, 8)}, "not 1x3x16x8"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(
    convolution: Make, shapes: dict[str, tuple[int, ...]], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        free_dimensions(convolution(batch="batch"), shapes)


def test_a_size_without_a_name_cannot_be_set(convolution: Make, tmp_path: Path) -> None:
    model = onnx.load(convolution(batch="batch"))
    model.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_param")
    onnx.save(model, tmp_path / "nameless.onnx")
    with pytest.raises(ModelError, match="open size without a name"):
        free_dimensions(tmp_path / "nameless.onnx", {"": (1, 3, 16, 16)})


def test_two_inputs_need_shapes_that_agree(convolution: Make, tmp_path: Path) -> None:
    model = onnx.load(convolution(batch="batch"))
    model.graph.input.append(model.graph.input[0])
    model.graph.input[1].name = "z"
    onnx.save(model, tmp_path / "two.onnx")
    path = tmp_path / "two.onnx"
    with pytest.raises(UsageError, match="has several inputs; give a shape by name: x, z"):
        free_dimensions(path, {"": (1, 3, 16, 16)})
    with pytest.raises(UsageError, match="batch cannot be 1 and 2 at once"):
        free_dimensions(path, {"x": (1, 3, 16, 16), "z": (2, 3, 16, 16)})
