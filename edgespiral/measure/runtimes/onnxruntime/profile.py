"""What ONNX Runtime's profiler says of a model's nodes, as the agent hands it on."""

from __future__ import annotations

import math
import re
from statistics import fmean
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    Json = dict[str, Any]

KINDS = {
    "conv": "Conv FusedConv",
    "lstm": "LSTM",
    "gru": "GRU",
    "rnn": "RNN",
    "gemm": "Gemm FusedGemm MatMul FusedMatMul",
}
OPERATORS = {name: kind for kind, names in KINDS.items() for name in names.split()}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
# What a provider must run itself; all else is reshaping, pooling and the like. Providers that
# compile have names of their own for what they took.
HEAVY = re.compile("Conv|Gemm|MatMul|LSTM|GRU|RNN|Attention")
NAMED = 3


def check_placement(placed: Sequence[Sequence[Json]], wanted: str, models: Sequence[Path]) -> str:
    """The providers that ran nodes of the models, the one that was asked for first.

    Args:
        placed: each model's nodes; empty where there is no other provider to run them.
        wanted: the provider that was asked for.

    Raises:
        TargetError: it left a layer with weights of a model to another, or ran nothing.
    """
    others: set[str] = set()
    for model, nodes in zip(models, placed, strict=bool(placed)):
        astray = [node for node in nodes if node["provider"] != wanted]
        heavy = [node for node in astray if HEAVY.search(node["op_name"])]
        if heavy or len(astray) == len(nodes):
            raise _left(heavy or astray, wanted, model)
        others |= {node["provider"] for node in astray}
    return " + ".join([wanted, *sorted(others)])


def layer_times(nodes: Iterable[Json]) -> list[Json]:
    """The weighted layers in the order that they run, with their mean time.

    That is of the middle half of its times: the profiler counts whole microseconds, which a median
    would keep and a mean resolves.
    """
    layers = [(_layer(node), node["durations_us"]) for node in nodes]
    return [
        {**layer, "latency_ms": middle_mean(times_us) / 1e3}
        for layer, times_us in layers
        if layer is not None
    ]


def middle_mean(values: Sequence[float]) -> float:
    """Mean of the values between the quartiles."""
    cut = len(values) // 4
    return fmean(sorted(values)[cut : len(values) - cut])


def _left(nodes: Sequence[Json], wanted: str, model: Path) -> TargetError:
    names = ", ".join(node["name"].removesuffix("_kernel_time") for node in nodes[:NAMED])
    more = ", ..." if len(nodes) > NAMED else ""
    return TargetError(
        f"{wanted} left {len(nodes)} layers of the model to {nodes[0]['provider']}: {names}{more}",
        where=str(model),
        hint="set provider in the target's [runtime] to one that runs them all",
    )


def _layer(node: Json) -> Json | None:
    """The weighted layer that a node is; None where it is none or its shapes do not tell which."""
    name, operator = node["op_name"], OPERATORS.get(node["op_name"])
    if operator is None:
        return None
    inputs = [shape for entry in node["input_type_shape"] or () for shape in entry.values()]
    outputs = [shape for entry in node["output_type_shape"] or () for shape in entry.values()]
    if len(inputs) < (1 + (operator == "conv")) or not outputs:
        return None
    # Packed weights are not listed among the inputs. Two matrices are a product of activations.
    is_attention = name.endswith("MatMul") and len(inputs) > 1 and len(inputs[1]) > 1
    if is_attention or not inputs[0] or not outputs[0]:
        return None
    source, result = inputs[0], outputs[-1]
    fan_in, fan_out, batch = source[-1], result[-1], math.prod(result[:-1])
    if operator == "conv":
        shapes = (source, inputs[1], result)
    elif operator in GATES:
        shapes = (source, [GATES[operator] * fan_out, fan_in], [source[0], *result[-3:]])
    else:
        shapes = ([batch, fan_in], [fan_out, fan_in], [batch, fan_out])
    keys = ("input_shape", "weight_shape", "output_shape")
    return {"operator": operator, **dict(zip(keys, shapes, strict=True))}
