import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgespiral.core.onnx_graph import all_tensors, fed_inputs, normalise, used_names


def weight(name, *shape):
    values = np.random.default_rng(len(name)).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def model(nodes, weights=(), *, listed=(), functions=(), opset=17, ir=9):
    sizes = {tensor.name: list(tensor.dims) for tensor in weights}
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, sizes[n]) for n in listed]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]), *given]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])]
    graph = helper.make_graph(nodes, "test", inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid("own", 1) for _ in functions)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir, functions=list(functions))


def outcome(proto):
    onnx.checker.check_model(proto)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(None, {"x": np.arange(4, dtype=np.float32)[None]})[0]


def constant(name, *shape):
    return helper.make_node("Constant", [], [name], value=weight(name, *shape))


FUNCTION = helper.make_function(
    "own",
    "Scaled",
    ["a"],
    ["b"],
    [constant("w", 4, 4), helper.make_node("MatMul", ["a", "w"], ["b"])],
    [helper.make_opsetid("", 17)],
)
CASES = {
    "listed": model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [weight("w", 4, 4)], listed=["w"], ir=3
    ),
    "constant": model([constant("w", 4, 4), helper.make_node("MatMul", ["x", "w"], ["y"])]),
    "identity": model(
        [
            helper.make_node("Identity", ["v"], ["u"]),
            helper.make_node("Identity", ["u"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        [weight("v", 4, 4)],
    ),
    "function": model(
        [helper.make_node("Scaled", ["x"], ["y"], domain="own")], functions=[FUNCTION], ir=9
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_become_initialisers_and_the_outputs_stay(case):
    proto = onnx.ModelProto()
    proto.CopyFrom(CASES[case])
    expected = outcome(proto)
    found = normalise(proto)
    [node] = found.graph.node
    held = {tensor.name for tensor in found.graph.initializer}
    assert node.op_type == "MatMul"
    assert node.input[1] in held
    assert [value.name for value in found.graph.input] == ["x"]
    assert np.array_equal(outcome(found), expected)


def test_scalars_and_lists_are_weights_and_an_output_stays_a_node():
    nodes = [
        helper.make_node("Constant", [], ["s"], value_float=2.0),
        helper.make_node("Constant", [], ["l"], value_floats=[1.0, 2.0, 3.0, 4.0]),
        helper.make_node("Mul", ["x", "s"], ["m"]),
        helper.make_node("Add", ["m", "l"], ["y"]),
        constant("told", 4),
    ]
    proto = model(nodes)
    proto.graph.output.append(helper.make_tensor_value_info("told", TensorProto.FLOAT, [4]))
    expected = outcome(proto)
    found = normalise(proto)
    assert [node.op_type for node in found.graph.node] == ["Mul", "Add", "Constant"]
    assert {tensor.name: list(tensor.dims) for tensor in found.graph.initializer} == {
        "s": [],
        "l": [4],
    }
    assert np.array_equal(outcome(found), expected)


def test_every_node_has_a_name_of_its_own():
    names = ["a", "", "a", "", "a_2"]
    tensors = ["x", "p", "q", "r", "s", "y"]
    nodes = [
        helper.make_node("Relu", [tensors[i]], [tensors[i + 1]], name=name)
        for i, name in enumerate(names)
    ]
    found = [node.name for node in normalise(model(nodes)).graph.node]
    assert found == ["a", "node_of_q", "a_3", "node_of_s", "a_2"]


def test_a_branch_reads_the_weight_behind_an_identity():
    wrong = helper.make_node("Constant", [], ["z"], value=weight("z", 4))
    sides = [
        helper.make_graph(
            [helper.make_node("Add", ["x", name], [f"{name}-out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}-out", TensorProto.FLOAT, [1, 4])],
        )
        for name in ("w", "z")
    ]
    yes = numpy_helper.from_array(np.asarray(True), "yes")
    nodes = [
        helper.make_node("Identity", ["v"], ["w"]),
        wrong,
        helper.make_node("If", ["yes"], ["y"], then_branch=sides[0], else_branch=sides[1]),
    ]
    proto = model(nodes, [weight("v", 4), yes])
    expected = outcome(proto)
    found = normalise(proto)
    assert [node.op_type for node in found.graph.node] == ["If"]
    assert {"v", "z", "yes", "x", "y"} <= used_names(found.graph)
    assert np.array_equal(outcome(found), expected)


def test_weights_listed_as_inputs_are_not_to_be_given():
    assert [value.name for value in fed_inputs(CASES["listed"].graph)] == ["x"]


def test_tensors_of_nodes_are_tensors_too():
    assert [tensor.name for tensor in all_tensors(CASES["constant"].graph)] == ["w"]
