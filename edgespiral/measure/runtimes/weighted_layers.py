"""The layers of an ONNX model that have weights, with their shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgespiral.core.errors import ModelError
from edgespiral.core.onnx_graph import STANDARD, hold_weights, node_name
from edgespiral.core.records.measurement import LayerLatency
from edgespiral.measure.model_files import read_proto

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx

CONVOLUTION, PRODUCTS = "Conv", ("Gemm", "MatMul")
RECURRENT: dict[str, Literal["lstm", "gru", "rnn"]] = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn"}
PASSING = ("QuantizeLinear", "DequantizeLinear", "Identity", "Cast")


@dataclass(frozen=True)
class WeightedLayer:
    """A convolution, a product with a weight or a recurrent layer; shapes as in `LayerLatency`.

    Attributes:
        name: the node's.
        output: the name of what it gives.
    """

    name: str
    operator: Literal["conv", "gemm", "lstm", "gru", "rnn"]
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    output: str = ""

    @property
    def multiplications(self) -> int:
        """How many products it takes."""
        places = math.prod(self.output_shape) // self.output_shape[1]
        return places * math.prod(self.weight_shape)

    def timed(self, latency_ms: float) -> LayerLatency:
        """The layer with the time that it took."""
        return LayerLatency(
            operator=self.operator,
            input_shape=self.input_shape,
            weight_shape=self.weight_shape,
            output_shape=self.output_shape,
            latency_ms=latency_ms,
        )


def weighted_layers(
    path: Path,
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    recurrent: bool = False,
) -> list[WeightedLayer]:
    """The weighted layers of a model, in the order of its graph.

    Args:
        path: an ONNX file.
        shapes: input shapes by name, for inputs without a fixed one; "" is the only input.
        recurrent: with LSTM, GRU and RNN layers, all directions of one together.

    Raises:
        ModelError: it cannot be read, or its shapes are not known.
    """
    import onnx

    read = read_proto(path)
    try:
        model = hold_weights(read)
        _fix_inputs(model, shapes or {})
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # protobuf's and ONNX's own, which have no common base
        raise ModelError(f"cannot be read: {error}", where=str(path)) from error
    shape_of = _known_shapes(model)
    weights = _weights(model)
    return [
        _layer(node, shape_of, weights[node.input[1]], path)
        for node in model.graph.node
        if node.op_type in (CONVOLUTION, *PRODUCTS, *(RECURRENT if recurrent else ()))
        and node.domain in STANDARD
        and not weights.keys().isdisjoint(node.input[1:2])
    ]


def _fix_inputs(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> None:
    for value in model.graph.input:
        sizes = shapes.get(value.name, shapes.get(""))
        for dimension, size in zip(value.type.tensor_type.shape.dim, sizes or (), strict=False):
            dimension.dim_value = size


def _known_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = model.graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in values
    }


def _weights(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of the constants, and of those that are dequantised on the way."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in PASSING and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
    return shapes


def _layer(
    node: onnx.NodeProto,
    shapes: Mapping[str, tuple[int, ...]],
    weight: tuple[int, ...],
    path: Path,
) -> WeightedLayer:
    inputs_shape, result = shapes.get(node.input[0], ()), shapes.get(node.output[0], ())
    name = node_name(node)
    if not inputs_shape or not result or 0 in (*inputs_shape, *result):
        hint = "give the input's shape: --shape 1x3x224x224"
        raise ModelError(f"the shapes of {name} are not known", where=str(path), hint=hint)
    gives = node.output[0]
    if node.op_type == CONVOLUTION:
        return WeightedLayer(name, "conv", inputs_shape, weight, result, gives)
    if node.op_type in RECURRENT:
        operator, of_one_direction = RECURRENT[node.op_type], weight[1:]
        return WeightedLayer(name, operator, inputs_shape, of_one_direction, result, gives)
    batch = math.prod(result[:-1])
    features, outputs = inputs_shape[-1], result[-1]
    shapes_of_product = (batch, features), (outputs, features), (batch, outputs)
    return WeightedLayer(name, "gemm", *shapes_of_product, gives)
