"""The builder's listing as it writes it; test_rtx_agent.py has real ones."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgespiral.measure.runtimes.tensorrt_rtx.layers import (
    compiled_layers,
    quantised_layers,
    unfused,
)


def tensor(name: str, kind: str) -> str:
    sizes = "Dimensions: [1,8,4,4], Strides: [8,1,4,4]"
    return f"{{ Name: {name}, {sizes}, Datatype: {kind}, Format: f }}"


def line(name: str, kind: str, data: str, weights: str, *nodes: str, source: str = "a") -> str:
    metadata = "\x1f".join(f"[ONNX Layer: {node}]" for node in nodes)
    return (
        f"Name: {name}, LayerType: {kind}, Inputs: [ {tensor(source, data)}], "
        f"Constants: [ {tensor('w', weights)}, {tensor('scale', 'Float')}], "
        f"Outputs: [ {tensor('b', 'Float')}], TacticName: t, StreamId: 0, Metadata: {metadata}"
    )


FUSED = (
    line("__myl_Round_0", "kgen", "Float", "Float", "x_Q", source="x"),
    line("conv_1", "correlation", "Int8", "Int8", "conv", "x_DQ", "w_DQ"),
    line("__myl_Add_2", "kgen", "Float", "Float", "conv"),
)


def listing(*lines: str) -> str:
    return "\n".join(["Layers:", *lines, "", "I/O Tensors:", " Name: x, IOMode: Input"])


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    """A convolution of which data and weights are quantised, and a multiplication that is not."""
    initial = {
        "w8": np.zeros((8, 8, 1, 1), np.int8),
        "s": np.float32(0.1),
        "z": np.int8(0),
        "v": np.zeros((4, 4), np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x8"], name="x_Q"),
        helper.make_node("DequantizeLinear", ["x8", "s", "z"], ["x9"], name="x_DQ"),
        helper.make_node("DequantizeLinear", ["w8", "s", "z"], ["w9"], name="w_DQ"),
        helper.make_node("Conv", ["x9", "w9"], ["c"], name="conv"),
        helper.make_node("MatMul", ["c", "v"], ["y"], name="float"),
    ]
    shape = [1, 8, 4, 4]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    weights = [numpy_helper.from_array(value, name) for name, value in initial.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    path = tmp_path / "q.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_layers_are_read_with_their_types_and_nodes() -> None:
    _, layer, _ = compiled_layers(listing(*FUSED))
    assert (layer.name, layer.kind) == ("conv_1", "correlation")
    assert (layer.inputs, layer.constants) == ({"a": "Int8"}, {"w": "Int8", "scale": "Float"})
    assert layer.nodes == {"conv", "x_DQ", "w_DQ"}
    assert (layer.multiplies_in_int8, layer.has_int8_weights) == (True, True)


def test_the_layers_to_look_for_have_data_and_weights_in_8_bits(quantised: Path) -> None:
    found = quantised_layers(onnx.load(quantised).graph)
    assert [(node.name, has_weights) for node, has_weights in found] == [("conv", True)]


def test_a_model_that_was_fused_has_nothing_left(quantised: Path) -> None:
    assert unfused(compiled_layers(listing(*FUSED)), quantised) == []


@pytest.mark.parametrize(("data", "weights"), [("Float", "Int8"), ("Int8", "Float")])
def test_a_layer_that_multiplies_in_float_is_named(
    quantised: Path, data: str, weights: str
) -> None:
    slow = line("conv_1", "correlation", data, weights, "conv", "x_DQ", "w_DQ")
    assert unfused(compiled_layers(listing(FUSED[0], slow)), quantised) == ["conv"]


def test_a_layer_may_round_and_multiply_at_once(quantised: Path) -> None:
    nodes = ("x_Q", "x_DQ", "w_DQ", "conv")
    small = line("__myl_RounCastCorrMulAdd_0", "kgen", "Float", "Int8", *nodes, source="x")
    assert unfused(compiled_layers(listing(small)), quantised) == []


def test_a_product_of_data_has_no_weights_to_look_for(quantised: Path) -> None:
    model = onnx.load(quantised)
    model.graph.node[3].CopyFrom(helper.make_node("MatMul", ["x9", "x9"], ["c"], name="product"))
    onnx.save(model, quantised)
    attention = line("_gemm_mha_v2_1", "kgen", "Int8", "Float", "product", "x_DQ")
    assert unfused(compiled_layers(listing(FUSED[0], attention)), quantised) == []
    slow = line("_gemm_mha_v2_1", "kgen", "Float", "Float", "product", "x_DQ")
    assert unfused(compiled_layers(listing(FUSED[0], slow)), quantised) == ["product"]


def test_a_layer_that_does_nothing_but_round_is_named(quantised: Path) -> None:
    alone = line("__myl_Cast_1", "kgen", "Int8", "Float", "x_DQ")
    assert unfused(compiled_layers(listing(*FUSED, alone)), quantised) == ["x_DQ"]
