"""Assignments to parts of a traced tensor, as operations that change nothing in place."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.proxy import Proxy

from edgespiral.models.tracing.proxies import value_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.fx import GraphModule

# Views of their first argument, or possibly so, and functions that change it.
VIEWS = {
    "getitem", "view", "view_as", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "t",
    "transpose", "permute", "movedim", "swapaxes", "expand", "narrow", "select", "chunk", "split",
    "unbind", "tensor_split", "unfold", "diagonal", "contiguous", "detach", "to", "getattr",
    "float", "type",
}  # fmt: skip
CHANGING = {"setitem", "iadd", "isub", "imul", "itruediv", "ipow", "ifloordiv", "imod"}


def written(tensor: Any, index: Any, value: Any) -> Any:  # noqa: ANN401
    """What `tensor[index] = value` leaves in `tensor`, as a new proxy.

    Where only slices are assigned to, it is a concatenation of the parts that stay with the new
    one; through a mask with a number, a fill. All else is assigned to a copy.

    Args:
        tensor: a proxy that knows its value.
        index: what stands in the brackets; parts of it may be proxies.
        value: a number, a tensor or a proxy.
    """
    example = tensor._values[0]
    if _is_mask(index, example) and not isinstance(value, Tensor):
        return tensor.masked_fill(index, value)
    slices = _slices(index, example.dim())
    if slices is None:
        copy = tensor.clone()
        tensor.tracer.create_proxy("call_function", operator.setitem, (copy, index, value), {})
        return copy
    return _joined(tensor, slices, 0, value)


def _is_mask(index: Any, example: Tensor) -> bool:  # noqa: ANN401
    index_value: Any = value_of(index, 0)
    if not isinstance(index_value, Tensor):
        return False
    return index_value.dtype == torch.bool and index_value.dim() == example.dim()


def _slices(index: Any, dimensions: int) -> list[slice] | None:  # noqa: ANN401
    """One slice a dimension, each of step 1 and of plain numbers; None where they are not."""
    parts = list(index) if type(index) is tuple else [index]
    places = [place for place, part in enumerate(parts) if part is Ellipsis]
    if places:
        parts[places[0] : places[0] + 1] = [slice(None)] * (dimensions - len(parts) + 1)
    parts += [slice(None)] * (dimensions - len(parts))
    plain = all(
        type(part) is slice
        and part.step in (None, 1)
        and not any(isinstance(end, Proxy) for end in (part.start, part.stop))
        for part in parts
    )
    return parts if plain and len(parts) == dimensions else None


def _joined(tensor: Any, slices: Sequence[slice], dim: int, value: Any) -> Any:  # noqa: ANN401
    while dim < len(slices) and slices[dim] == slice(None):
        dim += 1
    if dim == len(slices):
        return _filled(tensor, value)
    sizes = {example.shape[dim] for example in tensor._values}
    if len(sizes) > 1:
        raise ValueError("it assigns to some samples of a batch")
    size = sizes.pop()
    start, stop, _ = slices[dim].indices(size)
    ahead = (slice(None),) * dim
    part = tensor if (start, stop) == (0, size) else tensor[(*ahead, slice(start, stop))]
    parts = [_joined(part, slices, dim + 1, value)]
    if start > 0:
        parts.insert(0, tensor[(*ahead, slice(0, start))])
    if stop < size:
        parts.append(tensor[(*ahead, slice(stop, size))])
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _filled(part: Any, value: Any) -> Any:  # noqa: ANN401
    """`value` in the shape and type of `part`."""
    if isinstance(value, Tensor) and isinstance(value, Proxy):
        pairs = zip(value._values, part._values, strict=True)
        if all((a.shape, a.dtype) == (b.shape, b.dtype) for a, b in pairs):
            return value
    return torch.zeros_like(part) + value


def keep_inputs(graph: GraphModule) -> None:
    """Have a graph that changes its inputs in place change copies of them."""
    sources = {_viewed(node) for node in graph.graph.nodes if _changes_first(graph, node)}
    for node in sources:
        if not isinstance(node, Node) or node.op != "placeholder":
            continue
        with graph.graph.inserting_after(node):
            copy = graph.graph.call_method("clone", (node,))
        node.replace_all_uses_with(copy)
        copy.args = (node,)
    graph.recompile()


def _changes_first(graph: GraphModule, node: Node) -> bool:
    """Whether an operation changes its first argument."""
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    name = str(getattr(node.target, "__name__", node.target))
    is_changing = name in CHANGING or (name.endswith("_") and not name.endswith("__"))
    return is_changing or bool(node.kwargs.get("inplace"))


def _viewed(node: Node) -> object:
    """What the first argument of a node is a view of, or that itself."""
    source: Any = node.args[0] if node.args else None
    while isinstance(source, Node) and source.op in ("call_function", "call_method"):
        name = str(getattr(source.target, "__name__", source.target))
        if name not in VIEWS and not name.endswith("_"):
            break
        source = source.args[0] if source.args else None
    return source
