"""The layers whose outputs' logarithm is taken, which eight bits cannot hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.export.graph import weighted_layers

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# What lies between a layer and a logarithm where the layer makes features, as of a spectrum: sums
# and products, and moves of elements. An activation or a norm is the end of what is looked through.
ARITHMETIC = ("Abs", "Add", "Div", "Max", "Mul", "Pow", "ReduceMean", "ReduceSum", "Sqrt", "Sub")
MOVES = (
    *("Cast", "Concat", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "Split"),
    *("Squeeze", "Transpose", "Unsqueeze"),
)
LAYERS = ("Conv", "Gemm", "MatMul")
REASON = "the logarithm of what it makes is taken"


def before_logarithms(model: ModelProto) -> dict[str, str]:
    """By name the weighted layers that stay in float for it, with the reason.

    A logarithm asks for the same relative precision of small values as of large ones, and one scale
    for all of a tensor's values gives none to the small: the quiet parts of a spectrum would be one
    step. So all stay in float that lie between a model's inputs, or an activation, and a logarithm.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    weighted = {node.name for node in weighted_layers(model)}
    waiting: list[NodeProto] = [node for node in model.graph.node if node.op_type == "Log"]
    seen: dict[str, NodeProto] = {}
    while waiting:
        for name in waiting.pop().input:
            node = makers.get(name)
            if node is None or node.op_type not in (*ARITHMETIC, *MOVES, *LAYERS):
                continue
            if node.name not in seen:
                seen[node.name] = node
                waiting.append(node)
    return dict.fromkeys((name for name in seen if name in weighted), REASON)
