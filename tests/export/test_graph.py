import onnx
import pytest
import torch
from onnx import TensorProto, helper

from edgespiral.core.errors import ExportError, ModelError
from edgespiral.export.graph import (
    input_shapes,
    load_graph,
    open_session,
    opset,
    refusing,
    weighted_layers,
)


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
    assert input_shapes(model, "m") == {"x": (2, 2)}


def test_every_input_has_a_fixed_shape(float_file):
    model = load_graph(float_file)
    more = helper.make_tensor_value_info("more", TensorProto.FLOAT, ["batch", 4])
    model.graph.input.append(more)
    assert input_shapes(model, "m")["more"] == (1, 4)
    more = helper.make_tensor_value_info("open", TensorProto.FLOAT, [1, "steps"])
    model.graph.input.append(more)
    with pytest.raises(ExportError, match="m: its input open has no fixed shape"):
        input_shapes(model, "m")


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


def test_nodes_of_one_name_run_under_others(float_file, digits, tmp_path):
    model = onnx.load(float_file)
    for node in model.graph.node:
        node.name = "same"
    onnx.save(model, tmp_path / "same.onnx")
    session = open_session(tmp_path / "same.onnx", "same.onnx")
    [logits] = session.run(None, {"input": torch.zeros(1, 1, 8, 8).numpy()})
    assert logits.shape == (1, 10)


def test_an_old_opset_is_taken_to_one_with_channel_scales(tmp_path):
    nodes = [
        onnx.helper.make_node("Clip", ["x"], ["c"], min=0.0, max=6.0),
        onnx.helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"
    ]
    weight = onnx.numpy_helper.from_array(torch.eye(4).numpy(), "w")
    graph = onnx.helper.make_graph(nodes, "old", ends[:1], ends[1:], [weight])
    opsets = [onnx.helper.make_opsetid("", 9)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=5), tmp_path / "o.onnx"
    )
    model = load_graph(tmp_path / "o.onnx")
    assert opset(model) == 13
    assert [node.op_type for node in weighted_layers(model)] == ["MatMul"]
    session = open_session(model.SerializeToString(), "o.onnx")
    [found] = session.run(None, {"x": torch.tensor([[-1.0, 2.0, 5.0, 9.0]]).numpy()})
    assert found.tolist() == [[0.0, 2.0, 5.0, 6.0]]
