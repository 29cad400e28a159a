"""The zeros among the weights of an ONNX file, and how small the file compresses."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

from edgespiral.core.errors import ModelError
from edgespiral.core.records.exported import LayerZeros
from edgespiral.export.graph import MULTIPLIES, RECURRENT, load_graph

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

    Weights = NDArray[np.generic]

# What may stand between a layer and its weights without changing which of them are zero.
PASSES_ZEROS = ("DequantizeLinear", "QuantizeLinear", "Cast", "Identity")
# gzip's own default; 9 takes several times as long for a percent.
GZIP_LEVEL = 6
GROUP, MOST_OF_GROUP = 4, 2


def read_zeros(path: Path) -> tuple[LayerZeros, ...]:
    """Count the zeros of every layer with weights, in the order they run.

    Weights are looked for behind quantisation too, whose zero point for them is 0.

    Raises:
        ModelError: the file cannot be read, or no layer has weights.
    """
    graph = load_graph(path).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    rows = [_row(node, _weights(node, stored, makers)) for node in graph.node]
    zero_rows = tuple(row for row in rows if row is not None)
    if not zero_rows:
        raise ModelError("has no layer with weights", where=str(path))
    return zero_rows


def compressed_bytes(path: Path) -> int:
    """Size of the file at `path` as gzip compresses it."""
    return len(gzip.compress(path.read_bytes(), GZIP_LEVEL, mtime=0))


def _weights(
    node: NodeProto, stored: Mapping[str, TensorProto], makers: Mapping[str, NodeProto]
) -> list[Weights]:
    """The weights that a node multiplies by; an LSTM or GRU has two tensors of them."""
    if node.op_type not in (*MULTIPLIES, *RECURRENT):
        return []
    names = node.input[1:3] if node.op_type in RECURRENT else node.input[1:2]
    sources = [_source(name, makers) for name in names]
    return [numpy_helper.to_array(stored[name]) for name in sources if name in stored]


def _source(name: str, makers: Mapping[str, NodeProto]) -> str:
    while name in makers and makers[name].op_type in PASSES_ZEROS:
        name = makers[name].input[0]
    return name


def _row(node: NodeProto, weights: list[Weights]) -> LayerZeros | None:
    total = sum(tensor.size for tensor in weights)
    if not total:
        return None
    return LayerZeros(
        layer=node.name,
        operator=node.op_type,
        weights=total,
        zeros=total - sum(int(np.count_nonzero(tensor)) for tensor in weights),
        two_four=all(_is_two_four(node, tensor) for tensor in weights),
    )


def _is_two_four(node: NodeProto, weights: Weights) -> bool:
    """Whether two of every four weights along the inputs (C of KCRS, K of a product) are zero."""
    axis = _input_axis(node)
    if axis is None or weights.shape[axis] % GROUP:
        return False
    groups = np.moveaxis(weights, axis, -1).reshape(-1, GROUP)
    return bool((np.count_nonzero(groups, axis=1) <= MOST_OF_GROUP).all())


def _input_axis(node: NodeProto) -> int | None:
    if node.op_type == "Conv":
        return 1
    if node.op_type == "MatMul":
        return -2
    if node.op_type == "Gemm":
        return 1 if any(a.name == "transB" and a.i for a in node.attribute) else 0
    return None
