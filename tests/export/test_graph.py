import onnx
import pytest
from onnx import TensorProto, helper

from edgespiral.core.errors import ExportError, ModelError
from edgespiral.export.graph import load_graph, only_input, open_session, refusing, weighted_layers


def test_layers_with_weights_come_in_order(float_file):
    assert [node.op_type for node in weighted_layers(load_graph(float_file))] == ["Conv"] * 3 + [
        "Gemm"
    ]


def test_a_product_of_two_activations_has_no_weights(tmp_path):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "x"], ["y"])], "g", [value], [result]
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    model = load_graph(tmp_path / "m.onnx")
    assert weighted_layers(model) == []
    assert only_input(model, "m") == ("x", (2, 2))


def test_two_inputs_are_refused(float_file):
    model = load_graph(float_file)
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    with pytest.raises(ExportError, match="m: has 2 inputs, one is supported"):
        only_input(model, "m")


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be read as an ONNX model"):
        load_graph(tmp_path / "m.onnx")
    with pytest.raises(ExportError, match="cannot load"):
        open_session(tmp_path / "m.onnx", "m.onnx")


def test_a_failure_is_one_line():
    with pytest.raises(ExportError) as caught, refusing("m.onnx", "cannot be made"):
        raise ValueError("two\nlines")
    assert str(caught.value) == "m.onnx: cannot be made: two lines"
