import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import zeros

from edgespiral.export.int8.between import float_surrounded
from edgespiral.export.int8.convert import RUNTIME_KINDS

WEIGHT = zeros(4, 4).numpy()


def graph(*lines):
    """A model of lines such as `y = Add(a, b)`; MatMul has a weight of its own."""
    nodes, weights = [], []
    for line in lines:
        output, call = line.split(" = ")
        operator, given = call.rstrip(")").split("(")
        inputs = given.split(", ")
        if operator == "MatMul":
            inputs.append(f"{output}-weight")
            weights.append(numpy_helper.from_array(WEIGHT, inputs[-1]))
        nodes.append(helper.make_node(operator, inputs, [output], name=output))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in ("x", "y")]
    made = helper.make_graph(nodes, "test", ends[:1], ends[1:], weights)
    model = helper.make_model(made)
    onnx.checker.check_model(model)
    return model


# A residual block between two layers, and another branch of additions alone.
RESIDUAL = graph(
    "a = MatMul(x)",
    "r = Relu(a)",
    "b = MatMul(r)",
    "s = Add(b, r)",
    "t = Relu(s)",
    "far = Add(t, s)",
    "farther = Add(far, t)",
    "y = MatMul(farther)",
)


@pytest.mark.parametrize(
    ("in_float", "expected"),
    [
        ((), []),
        # `t` and `far` are next to nothing but additions.
        (("a",), ["t", "far"]),
        (("b",), ["t", "far"]),
        (("y",), ["t", "far", "farther"]),
        (("a", "b"), ["r", "s", "t", "far"]),
        (("a", "b", "y"), ["r", "s", "t", "far", "farther"]),
    ],
)
def test_what_only_float_surrounds_stays_in_float(in_float, expected):
    assert float_surrounded(RESIDUAL, RUNTIME_KINDS, in_float) == expected


def test_operators_that_are_not_quantised_are_not_named():
    assert float_surrounded(RESIDUAL, ["MatMul", "Relu"], {"a", "b", "y"}) == ["r"]
