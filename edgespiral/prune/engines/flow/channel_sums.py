"""Sums and means over channels as layers of fixed weights, so that channels can leave them.

A mean over channels (global response norm, a layer norm spelt out, an attention map of means) holds
every channel that it takes in. As a layer with one output, whose weights are 1, and a division by
the C that there were, it is a consumer like any other: a removed channel's column goes, the other
weights and C stay what they are. Weights of 1 / C would round.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.fx.proxy import GraphAppendingTracer, Proxy

from edgespiral.models.calling import positional
from edgespiral.models.fixed import fix
from edgespiral.prune.engines.flow.attention import call
from edgespiral.prune.engines.flow.rewrite import check_same
from edgespiral.prune.engines.flow.rules.moves import first

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors

SUMS, MEANS, NORMS = ("sum",), ("mean",), ("norm", "vector_norm")


def sums_as_layers(model: GraphModule, example: Tensors, sums: Mapping[str, int]) -> GraphModule:
    """A copy of `model` with layers in place of reductions over channels, where that is possible.

    Args:
        model: the traced model.
        example: one input (1, ...).
        sums: by the node's name the dimension that channels lie on, as `Flow.sums` has it.

    Raises:
        ModelError: the new graph computes something else.
    """
    new = copy.deepcopy(model)
    ShapeProp(new).propagate(*positional(new.graph, example))
    places = [node for node in new.graph.nodes if node.name in sums and _stated(node) is not None]
    for node in places:
        tracer = GraphAppendingTracer(new.graph)
        with new.graph.inserting_before(node):
            node.replace_all_uses_with(_written(new, node, sums[node.name], tracer).node)
        new.graph.erase_node(node)
    new.graph.lint()
    new.recompile()
    check_same(model, new, example)
    return new


def _stated(node: Node) -> tuple[str, list[int], bool] | None:
    """The kind of sum, the dimensions and whether they are kept, if it can be a layer."""
    kind = str(getattr(node.target, "__name__", node.target)).replace("linalg_", "")
    names = ("p", "dim", "keepdim") if kind in NORMS else ("dim", "keepdim")
    named: dict[str, Any] = dict(zip(names, node.args[1:], strict=False)) | node.kwargs
    named["dim"] = named.get("dim", named.pop("axis", None))
    is_sum = kind in (*SUMS, *MEANS, *NORMS) and named.keys() <= {*names, "ord"}
    order = named.get("p", named.get("ord", 2))
    source: Any = first(node)
    meta = source.meta.get("tensor_meta") if isinstance(source, torch.fx.Node) else None
    if not is_sum or order not in (2, 2.0, "fro") or meta is None or named["dim"] is None:
        return None
    dims = [named["dim"]] if isinstance(named["dim"], int) else list(named["dim"])
    return kind, [d % len(meta.shape) for d in dims], bool(named.get("keepdim", False))


def _written(model: GraphModule, node: Node, dim: int, tracer: GraphAppendingTracer) -> Any:  # noqa: ANN401
    stated = _stated(node)
    assert stated is not None
    kind, dims, keeps = stated
    source: Any = first(node)
    shape = source.meta["tensor_meta"].shape
    values: Any = Proxy(source, tracer)
    values = values * values if kind in NORMS else values
    others = [d for d in dims if d != dim]
    if others:
        values = values.mean(others, True) if kind in MEANS else values.sum(others, True)
    summed = _added(model, node, values, (dim, shape), tracer)
    summed = summed / shape[dim] if kind in MEANS else summed
    summed = summed.sqrt() if kind in NORMS else summed
    for d in sorted(dims, reverse=True) if not keeps else ():
        summed = summed.squeeze(d)
    return summed


def _added(
    model: GraphModule,
    node: Node,
    values: Any,  # noqa: ANN401
    place: tuple[int, tuple[int, ...]],
    tracer: GraphAppendingTracer,
) -> Any:  # noqa: ANN401
    dim, shape = place
    on_pictures = dim == 1 and len(shape) == 4
    layer: nn.Module = (
        nn.Conv2d(shape[dim], 1, 1, bias=False)
        if on_pictures
        else nn.Linear(shape[dim], 1, bias=False)
    )
    nn.init.ones_(layer.weight)  # type: ignore[arg-type]
    fix(layer, "weight")
    name = f"{node.name}_over_channels"
    model.add_submodule(name, layer.eval())
    if on_pictures:
        return call(tracer, name, values)
    return call(tracer, name, values.movedim(dim, -1)).movedim(-1, dim)
