"""What OpenVINO's compiled model says of its nodes, as layers."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    Json = dict[str, Any]

# A counter of whole microseconds is cut off, by half of one on average.
CUT_OFF_US = 0.5
# By how many times as many rows as the state is wide a recurrent layer's weights have.
BY_GATES = {4: "lstm", 3: "gru", 1: "rnn"}


def layer_times(nodes: Iterable[Json]) -> list[Json]:
    """The weighted layers in the order that they run, with their mean time.

    OpenVINO runs the two directions of a recurrent layer one after the other, as two nodes that
    read the same values and are alike; they are one layer here.
    """
    layers = [(layer, node["reads"]) for node in nodes if (layer := _layer(node)) is not None]
    return [
        _joined([layer for layer, _ in same])
        for _, same in groupby(layers, key=lambda pair: _twins(*pair))
    ]


def _twins(layer: Json, reads: list[str]) -> object:
    """The same for the directions of one recurrent layer, and for no other two layers."""
    if layer["operator"] not in BY_GATES.values():
        return id(layer)
    return (layer["operator"], *reads, *layer["weight_shape"])


def _joined(layers: list[Json]) -> Json:
    first, *others = layers
    if not others:
        return first
    steps, _, batch, hidden = first["output_shape"]
    time_ms = sum(layer["latency_ms"] for layer in layers)
    return {**first, "output_shape": [steps, len(layers), batch, hidden], "latency_ms": time_ms}


def _layer(node: Json) -> Json | None:
    """The weighted layer that a node is; None where its shapes do not tell which."""
    source, result = node["inputs"][0], node["outputs"][0]
    weights = [sizes for sizes in node["inputs"][1:] if len(sizes) > 1]
    if not weights or not all((*source, *result)):
        return None
    if node["kind"] == "Convolution":
        return _timed(node, "conv", source, _ungrouped(weights[0], len(source)), result)
    if node["kind"] == "FullyConnected":
        fan_out, fan_in = result[-1], source[-1]
        batch = math.prod(result[:-1])
        return _timed(node, "gemm", [batch, fan_in], [fan_out, fan_in], [batch, fan_out])
    return _recurrent(node, source, result)


def _recurrent(node: Json, source: list[int], result: list[int]) -> Json | None:
    """A layer of inputs (N, T, features) and outputs (N, T, hidden), or (N, 1, T, hidden)."""
    features, hidden = source[-1], result[-1]
    rows = next((sizes[-2] for sizes in node["inputs"][1:] if sizes[2:] == [features]), 0)
    operator = BY_GATES.get(rows // hidden)
    if operator is None or len(source) != 3:
        return None
    batch, steps, _ = source
    shapes = [steps, batch, features], [rows, features], [steps, 1, batch, hidden]
    return _timed(node, operator, *shapes)


def _ungrouped(weight: list[int], dimensions: int) -> list[int]:
    """A grouped convolution's weight (groups, outputs of one, ...), with all outputs in one."""
    if len(weight) == dimensions:
        return weight
    return [weight[0] * weight[1], *weight[2:]]


def _timed(node: Json, operator: str, source: list[int], weight: list[int], out: list[int]) -> Json:
    return {
        "operator": operator,
        "input_shape": source,
        "weight_shape": weight,
        "output_shape": out,
        "latency_ms": (float(node["mean_us"]) + CUT_OFF_US) / 1e3,
    }
