"""Statistics over channels, such that channels can leave them.

A mean over channels (global response norm, a layer norm spelt out, an attention map of means) holds
every channel that it takes in. As a layer with one output, whose weights are 1, and a division by
the C that there were, it is a consumer like any other: a removed channel's column goes, the other
weights and C stay what they are. Weights of 1 / C would round. Variances and lengths are made of
such sums.

A maximum stays the operation that it is (`prune.absent`): an identity before it marks where the
masked model leaves channels out.
"""

from __future__ import annotations

import copy
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.fx.proxy import GraphAppendingTracer, Proxy

from edgespiral.models.calling import positional
from edgespiral.models.fixed import fix
from edgespiral.prune.absent import Absent, mark
from edgespiral.prune.engines.flow.attention import call
from edgespiral.prune.engines.flow.rewrite import check_same
from edgespiral.prune.engines.flow.rules.moves import first

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors

SUMS, MEANS, NORMS = ("sum",), ("mean",), ("norm", "vector_norm")
PAIRS = ("var_mean", "std_mean")
SPREADS = ("var", "std", *PAIRS)
# Their arguments after the tensor, in order; those that only go by name stand in `BY_NAME`.
ARGUMENTS = (
    dict.fromkeys((*SUMS, *MEANS), ("dim", "keepdim"))
    | dict.fromkeys(NORMS, ("p", "dim", "keepdim"))
    | dict.fromkeys(SPREADS, ("dim", "unbiased", "keepdim"))
    | {"normalize": ("p", "dim", "eps")}
)
BY_NAME = {"axis": "dim", "ord": "p", "correction": "unbiased"}
# What a channel that is gone counts as, where a maximum or the like takes no notice of it.
UNNOTICED = {
    "amax": -math.inf, "max": -math.inf, "logsumexp": -math.inf, "softmax": -math.inf,
    "amin": math.inf, "min": math.inf, "softmin": math.inf, "prod": 1.0,
}  # fmt: skip
# Below it a root's slope is none, as a length's at 0.
LEAST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Statistic:
    """What a call asks for: which dimensions it goes over, and how.

    Attributes:
        kind: the function's name.
        dims: from 0.
        keeps: whether the dimensions stay, with one element.
        order: of a norm, 1 or 2.
        correction: what a variance's divisor is less than the number of elements.
        least: the smallest length that `normalize` divides by.
    """

    kind: str
    dims: tuple[int, ...]
    keeps: bool
    order: float = 2
    correction: float = 1
    least: float = 0.0


def statistics_let_go(model: GraphModule, example: Tensors, sums: Mapping[str, int]) -> GraphModule:
    """A copy of `model` in which statistics over channels do not hold them, where that is possible.

    Args:
        model: the traced model.
        example: one input (1, ...).
        sums: by the node's name the dimension that channels lie on, as `Flow.sums` has it.

    Returns:
        The copy, or `model` itself where there is nothing to be done.

    Raises:
        ModelError: the new graph computes something else.
    """
    new = copy.deepcopy(model)
    ShapeProp(new).propagate(*positional(new.graph, example))
    nodes = [node for node in new.graph.nodes if node.name in sums]
    compared = [node for node in nodes if _unnoticed(new, node) is not None]
    summed = [node for node in nodes if _stated(node) is not None]
    if not compared and not summed:
        return model
    for node in compared:
        _mark(new, node, sums[node.name])
    for node in summed:
        tracer = GraphAppendingTracer(new.graph)
        with new.graph.inserting_before(node):
            _put(node, _Writing(new, node, sums[node.name], tracer).results())
    new.graph.lint()
    new.recompile()
    check_same(model, new, example)
    return new


def _kind(model: GraphModule, node: Node) -> str:
    if node.op == "call_module":
        return type(model.get_submodule(str(node.target))).__name__.lower().removesuffix("2d")
    return str(getattr(node.target, "__name__", node.target)).replace("linalg_", "").strip("_")


def _unnoticed(model: GraphModule, node: Node) -> float | None:
    """The value that it takes no notice of, if only values are read of what it finds."""
    kind = _kind(model, node)
    if kind in ("max", "min") and not all(map(_reads_values, node.users)):
        return None  # where a channel was found changes when others go
    return UNNOTICED.get(kind)


def _reads_values(user: Node) -> bool:
    part = user.args[1] if len(user.args) == 2 else None
    return (user.target is operator.getitem and part == 0 and part is not False) or (
        user.target is getattr and part == "values"
    )


def _mark(model: GraphModule, node: Node, dim: int) -> None:
    source: Any = first(node)
    here = model.get_submodule(str(source.target)) if source.op == "call_module" else None
    if not isinstance(here, nn.Identity) or len(source.users) > 1:
        here = nn.Identity().eval()
        name = f"{node.name}_compared"
        model.add_submodule(name, here)
        with model.graph.inserting_before(node):
            new = model.graph.call_module(name, (source,))
        node.replace_input_with(source, new)
    mark(here, Absent(UNNOTICED[_kind(model, node)], dim))


def _stated(node: Node) -> Statistic | None:
    """What is asked for, if it can be made of layers."""
    kind = str(getattr(node.target, "__name__", node.target)).replace("linalg_", "")
    source: Any = first(node)
    meta = source.meta.get("tensor_meta") if isinstance(source, torch.fx.Node) else None
    if node.op == "call_module" or kind not in ARGUMENTS or meta is None:
        return None
    named = _arguments(node, kind, source)
    dims = named.pop("dim", 1 if kind == "normalize" else None)
    dims = (dims,) if isinstance(dims, int) else dims
    if not isinstance(dims, tuple | list) or not dims or any(type(d) is not int for d in dims):
        return None
    order, correction = named.pop("p", 2), named.pop("unbiased", 1)
    statistic = Statistic(
        kind,
        tuple(d % len(meta.shape) for d in dims),
        bool(named.pop("keepdim", kind == "normalize")),
        2 if order == "fro" or order is None else order,
        1 if correction is None else float(correction),
        named.pop("eps", 1e-12) if kind == "normalize" else 0.0,
    )
    elements = math.prod(meta.shape[d] for d in statistic.dims)
    undefined = kind in SPREADS and elements <= statistic.correction
    unpaired = kind in PAIRS and not all(u.target is operator.getitem for u in node.users)
    other = bool(named) or statistic.order not in (1, 2)
    return None if other or unpaired or undefined else statistic


def _arguments(node: Node, kind: str, source: torch.fx.Node) -> dict[str, Any]:
    """What is said of a statistic beside the tensor that it is of, by the names of `torch`."""
    named: dict[str, Any] = dict(zip(ARGUMENTS[kind], node.args[1:], strict=False))
    by_name = {n: v for n, v in node.kwargs.items() if v is not source and v is not None}
    return named | {BY_NAME.get(n, n): v for n, v in by_name.items()}


def _put(node: Node, results: Any) -> None:  # noqa: ANN401
    """Have those that read `node`, or a part of it, read `results`."""
    if isinstance(results, tuple):
        for user in list(node.users):
            place: Any = user.args[1]
            user.replace_all_uses_with(results[place].node)
            node.graph.erase_node(user)
    else:
        node.replace_all_uses_with(results.node)
    node.graph.erase_node(node)


class _Writing:
    """Writes one statistic out as sums over channels and what is done with those."""

    def __init__(
        self, model: GraphModule, node: Node, dim: int, tracer: GraphAppendingTracer
    ) -> None:
        stated = _stated(node)
        assert stated is not None
        self._model, self._name, self._dim, self._tracer = model, node.name, dim, tracer
        source: Any = first(node)
        self._shape = source.meta["tensor_meta"].shape
        self._values: Any = Proxy(source, tracer)
        self._asked = stated

    def results(self) -> Any:  # noqa: ANN401
        """What stands in place of the call's result, or of the two that it has."""
        kind, values = self._asked.kind, self._values
        if kind in SPREADS:
            spread, mean = self._spread_and_mean()
            spread = _root(spread) if kind.startswith("std") else spread
            whole = self._without_dims(spread)
            return (whole, self._without_dims(mean)) if kind in PAIRS else whole
        if kind in MEANS:
            return self._without_dims(self._mean(values))
        if kind in SUMS:
            return self._without_dims(self._sum(values))
        length = self._sum(values.abs()) if self._asked.order == 1 else _root(
            self._sum(values * values)
        )  # fmt: skip
        if kind in NORMS:
            return self._without_dims(length)
        return values / length.clamp_min(self._asked.least)

    def _spread_and_mean(self) -> tuple[Any, Any]:
        mean = self._mean(self._values)
        apart = self._values - mean
        count = math.prod(self._shape[d] for d in self._asked.dims)
        spread = self._mean(apart * apart)
        if self._asked.correction:
            spread = spread * (count / (count - self._asked.correction))
        return spread, mean

    def _mean(self, values: Any) -> Any:  # noqa: ANN401
        others = [d for d in self._asked.dims if d != self._dim]
        values = values.mean(others, True) if others else values
        return self._added(values) / self._shape[self._dim]

    def _sum(self, values: Any) -> Any:  # noqa: ANN401
        others = [d for d in self._asked.dims if d != self._dim]
        return self._added(values.sum(others, True) if others else values)

    def _without_dims(self, values: Any) -> Any:  # noqa: ANN401
        for d in sorted(self._asked.dims, reverse=True) if not self._asked.keeps else ():
            values = values.squeeze(d)
        return values

    def _added(self, values: Any) -> Any:  # noqa: ANN401
        channels = self._shape[self._dim]
        on_pictures = self._dim == 1 and len(self._shape) == 4
        layer: nn.Module = (
            nn.Conv2d(channels, 1, 1, bias=False)
            if on_pictures
            else nn.Linear(channels, 1, bias=False)
        )
        nn.init.ones_(layer.weight)  # type: ignore[arg-type]
        fix(layer, "weight")
        name = f"{self._name}_over_channels"
        name = f"{name}_again" if hasattr(self._model, name) else name
        self._model.add_submodule(name, layer.eval())
        if on_pictures:
            return call(self._tracer, name, values)
        # Counted from the front: torch writes a negative dimension into an ONNX file as it is.
        last = len(self._shape) - 1
        return call(self._tracer, name, values.movedim(self._dim, last)).movedim(last, self._dim)


def _root(values: Any) -> Any:  # noqa: ANN401
    """The square root; where it is 0, gradients are as a length's are, and not infinite."""
    return values.clamp_min(LEAST).sqrt()
