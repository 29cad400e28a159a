"""A form of the graph in which every layer that can be cut is a layer, and nothing is hidden.

Traces hold functions that do several things at once (attention over shifted windows, multi-head
attention), norms whose weights are read apart from their layer, and channel shuffles spelt as
reshapes that fit one width only. Each is replaced by plain layers and operations that compute the
same, with the model's own parameters, so that the new form is also what a cut model is written
as: torch alone can load it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.fx.proxy import GraphAppendingTracer, Proxy

from edgespiral.core.errors import EdgeSpiralError, ModelError
from edgespiral.core.nested import joined, leaves, mapped
from edgespiral.core.text import words_of
from edgespiral.models.calling import call, positional
from edgespiral.prune.double import arithmetic_for
from edgespiral.prune.engines.flow import attention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor
    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors

MOVES = ("view", "reshape", "permute", "transpose", "swapaxes", "contiguous", "flatten")
TOLERANCE = 1e-9


def explicit(model: GraphModule, example: Tensors) -> GraphModule:
    """`model` with every such place rewritten, or `model` itself where there is none.

    The copy shares no memory with `model` once anything was rewritten.

    Args:
        model: the traced model.
        example: one input batch (1, C, H, W); sizes other than the batch become fixed.

    Raises:
        ModelError: it cannot be rewritten, or the rewritten graph computes something else.
    """
    try:
        return _written_out(model, example)
    except EdgeSpiralError:
        raise
    except Exception as error:  # of torch, which runs graphs here, or of a layer of the user's
        raise ModelError(
            f"its attention or shuffles cannot be written out: {words_of(error)}",
            where=type(model).__name__,
        ) from error


def _written_out(model: GraphModule, example: Tensors) -> GraphModule:
    places = [node for node in model.graph.nodes if _rewriter(node) is not None]
    shuffles = any(True for _ in _shuffles(model, example))
    if not places and not shuffles and not attention.calls(model):
        return model
    new = copy.deepcopy(model)
    ShapeProp(new).propagate(*positional(new.graph, example))
    for path, nodes in attention.calls(new).items():
        attention.multi_head(new, path, nodes)
    for node in list(new.graph.nodes):
        rewriter = _rewriter(node)
        if rewriter is not None:
            _replace(new, node, rewriter)
    _clean(new)
    for node, source, order in list(_shuffles(new, example)):
        _gather(new, node, source, order)
    _clean(new)
    check_same(model, new, example)
    return new


def _rewriter(node: Node) -> Callable[..., Any] | None:
    name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
    if name == "layer_norm" and _norm_path(node) is not None:
        return _layer_norm
    if name == "stochastic_depth" and not _argument(node, 3, "training", default=True):
        return _first
    return attention.WINDOWED.get(name)


def _replace(model: GraphModule, node: Node, rewriter: Callable[..., Any]) -> None:
    tracer = GraphAppendingTracer(model.graph)
    with model.graph.inserting_before(node):
        result = rewriter(model, node, tracer)
    if isinstance(result, Proxy):
        result.node.meta = attention.meta_of(node)
        result = result.node
    if result is not None:
        node.replace_all_uses_with(result)
        model.graph.erase_node(node)


def _clean(model: GraphModule) -> None:
    model.graph.eliminate_dead_code()
    model.graph.lint()
    model.recompile()


def _first(model: GraphModule, node: Node, tracer: GraphAppendingTracer) -> Any:  # noqa: ANN401, ARG001
    return node.args[0]


def _layer_norm(model: GraphModule, node: Node, tracer: GraphAppendingTracer) -> Any:  # noqa: ANN401
    path = _norm_path(node)
    assert path is not None
    old = model.get_submodule(path)
    layer = nn.LayerNorm(
        _argument(node, 1, "normalized_shape", default=()),
        _argument(node, 4, "eps", default=1e-5),
        bias=_argument(node, 3, "bias", default=None) is not None,
    )
    layer.weight = old.weight  # type: ignore[assignment]
    if layer.bias is not None:
        layer.bias = old.bias  # type: ignore[assignment]
    model.set_submodule(path, layer.eval())
    return attention.call(tracer, path, node.args[0])


def _norm_path(node: Node) -> str | None:
    """The layer whose weight and bias the call reads, if it is one layer."""
    weight = _argument(node, 2, "weight", default=None)
    bias = _argument(node, 3, "bias", default=None)
    if not isinstance(weight, torch.fx.Node) or weight.op != "get_attr":
        return None
    path, _, name = str(weight.target).rpartition(".")
    beside = bias is None or (getattr(bias, "target", None) == f"{path}.bias")
    return path if path and name == "weight" and beside else None


def _argument(node: Node, place: int, name: str, *, default: Any) -> Any:  # noqa: ANN401
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _shuffles(model: GraphModule, example: Tensors) -> Iterator[tuple[Node, Node, Tensor]]:
    """Reshapes that end a chain of moves which only puts channels in another order."""
    if not any(n.op == "call_method" and n.target in MOVES[:2] for n in model.graph.nodes):
        return
    run = torch.fx.Interpreter(model, garbage_collect_values=False)
    with torch.no_grad():
        run.run(*positional(model.graph, example))
    for node in model.graph.nodes:
        shuffle = _reordered(node, run.env) if _moves(node) else None
        if shuffle is not None:
            yield (node, *shuffle)


def _reordered(node: Node, env: dict[Node, Any]) -> tuple[Node, Tensor] | None:
    chain = [node]
    while _moves(chain[-1].args[0]):
        chain.append(chain[-1].args[0])  # type: ignore[arg-type]
    shape = env[node].shape
    for depth in range(1, len(chain) + 1):
        source: Any = chain[depth - 1].args[0]
        if isinstance(env[source], torch.Tensor) and env[source].shape == shape and len(shape) > 2:
            places = torch.arange(env[source].numel()).view(shape)
            order = _order(places, _moved(places, chain[:depth][::-1], env))
            return None if order is None else (source, order)
    return None


def _order(places: Tensor, moved: Tensor) -> Tensor | None:
    firsts = places.movedim(1, -1).reshape(-1, places.shape[1])[0].contiguous()
    wanted = moved.movedim(1, -1).reshape(-1, moved.shape[1])[0].contiguous()
    order = torch.searchsorted(firsts, wanted)
    order = order.clamp(max=len(firsts) - 1)
    reorders = not torch.equal(order, torch.arange(len(order)))
    same = torch.equal(moved, places.index_select(1, order))
    return order if reorders and same else None


def _moved(places: Tensor, chain: list[Node], env: dict[Node, Any]) -> Tensor:
    for node in chain:
        rest = torch.fx.node.map_arg(node.args[1:], lambda n: env[n])
        kwargs = torch.fx.node.map_arg(node.kwargs, lambda n: env[n])
        call: Any = node.target
        if node.op == "call_method":
            places = getattr(places, call)(*rest, **kwargs)
        else:
            places = call(places, *rest, **kwargs)
    return places


def _moves(node: object) -> bool:
    if not isinstance(node, torch.fx.Node) or node.op not in ("call_method", "call_function"):
        return False
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    return name in MOVES and bool(node.args)


def _gather(model: GraphModule, node: Node, source: Node, order: Tensor) -> None:
    name = f"{node.name}_order"
    model.register_buffer(name, order)
    with model.graph.inserting_before(node):
        index = model.graph.get_attr(name)
        new = model.graph.call_function(torch.index_select, (source, 1, index))
    node.replace_all_uses_with(new)


def check_same(model: GraphModule, new: GraphModule, example: Tensors) -> None:
    """Compare two forms of a model, in double precision where it can be had.

    Raises:
        ModelError: they compute different things.
    """
    two = joined([example, mapped(lambda leaf: leaf.flip(-1), example)])
    arithmetic = arithmetic_for(model, two)
    with arithmetic.computing():
        before, after = (
            [*leaves(call(arithmetic.model(m), arithmetic.inputs(two))).values()]
            for m in (model, new)
        )
    allowed = TOLERANCE if arithmetic.double else arithmetic.tolerance
    if not all(
        mine.shape == theirs.shape and torch.allclose(mine, theirs, allowed, allowed)
        for mine, theirs in zip(before, after, strict=True)
    ):
        raise ModelError(
            "its attention, shuffles or sums over channels cannot be written out",
            where=type(model).__name__,
        )
