from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from edgespiral.core.errors import ModelError
from edgespiral.measure.runtimes.weighted_layers import weighted_layers

Make = Callable[..., Path]


def test_convolutions_and_products_have_their_shapes(convolution: Make) -> None:
    conv, dense = weighted_layers(convolution(channels=32, size=16))
    assert (conv.name, conv.operator) == ("conv", "conv")
    assert (conv.input_shape, conv.output_shape) == ((1, 3, 16, 16), (1, 32, 16, 16))
    assert conv.weight_shape == (32, 3, 3, 3)
    assert conv.multiplications == 32 * 3 * 9 * 16 * 16
    assert (dense.input_shape, dense.weight_shape, dense.output_shape) == (
        (1, 32),
        (10, 32),
        (1, 10),
    )
    assert dense.multiplications == 320
    assert dense.timed(0.5).latency_ms == 0.5


def test_an_open_shape_has_to_be_given(convolution: Make) -> None:
    model = convolution(batch="n")
    with pytest.raises(ModelError, match="shapes of conv are not known; give the input's shape"):
        weighted_layers(model)
    assert weighted_layers(model, {"": (4, 3, 16, 16)})[0].input_shape == (4, 3, 16, 16)
    assert weighted_layers(model, {"x": (2, 3, 16, 16)})[1].input_shape == (2, 32)


def test_quantised_weights_are_weights(convolution: Make, tmp_path: Path) -> None:
    model = onnx.load(convolution())
    scale = helper.make_tensor("s", onnx.TensorProto.FLOAT, [], [0.1])
    model.graph.initializer.append(scale)
    quantised = [
        helper.make_node("QuantizeLinear", ["w", "s"], ["wq"]),
        helper.make_node("DequantizeLinear", ["wq", "s"], ["wd"]),
    ]
    model.graph.node[0].input[1] = "wd"
    nodes = [*quantised, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "quantised.onnx")
    assert weighted_layers(tmp_path / "quantised.onnx")[0].weight_shape == (32, 3, 3, 3)


def test_weights_and_names_may_be_written_in_any_form(convolution: Make, tmp_path: Path) -> None:
    path = convolution()
    expected = [layer.weight_shape for layer in weighted_layers(path)]
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = ""
    for weight in list(model.graph.initializer):
        model.graph.initializer.remove(weight)
        model.graph.node.insert(0, helper.make_node("Constant", [], [weight.name], value=weight))
    onnx.save(model, tmp_path / "written.onnx")
    found = weighted_layers(tmp_path / "written.onnx")
    assert [layer.weight_shape for layer in found] == expected
    assert [layer.name for layer in found] == ["node_of_c", "node_of_y"]


def test_what_is_no_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_text("none")
    with pytest.raises(ModelError, match=r"no\.onnx: is not an ONNX model"):
        weighted_layers(tmp_path / "no.onnx")
