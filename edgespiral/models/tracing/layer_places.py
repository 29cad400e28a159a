"""Where layers that are made of a trace's functions are put."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from torch.fx import GraphModule


def place_layer(graph: GraphModule, layer: nn.Module, path: str, name: str) -> str:
    """Put a layer where its parameters were, and what else lives there below it.

    Args:
        graph: what the layer becomes a part of; it does not call it yet.
        layer: with the parameters that it shares with what is there.
        path: the module, or the one parameter, that they are of; "" where there is none.
        name: what to call it where the place is taken.

    Returns:
        The name of the place; that of a layer there already if it computes the same.
    """
    called = {str(n.target) for n in graph.graph.find_nodes(op="call_module")}
    there = _attribute(graph, path) if path else None
    if path in called and there is not None and _same(there, layer):
        return path
    if not path or path in called or there is None:
        path = free_name(graph, f"{path}_{name}" if path else name)
        graph.add_submodule(path, layer)
        return path
    if isinstance(there, nn.Module):
        _inherit(layer, there)
        graph.set_submodule(path, layer)
        return path
    parent, _, own = path.rpartition(".")
    delattr(graph.get_submodule(parent), own)
    graph.add_submodule(path, layer)
    for node in graph.graph.find_nodes(op="get_attr"):
        if node.target == path:
            node.target = f"{path}.weight"
    return path


def _attribute(graph: GraphModule, path: str) -> Any:  # noqa: ANN401
    try:
        return operator.attrgetter(path)(graph)
    except AttributeError:
        return None


def _same(there: object, layer: nn.Module) -> bool:
    """Whether a layer that is in place computes what another would."""
    return type(there) is type(layer) and repr(there) == repr(layer)


def _inherit(layer: nn.Module, old: nn.Module) -> None:
    """Move to `layer` what else lives below the place that it takes."""
    for name, child in old.named_children():
        layer.add_module(name, child)
    taken = {*layer._parameters, *layer._buffers}  # such as by a weight that was a buffer
    for name, parameter in old.named_parameters(recurse=False):
        if name not in taken:
            layer.register_parameter(name, parameter)
    for name, buffer in old.named_buffers(recurse=False):
        if name not in taken:
            layer.register_buffer(name, buffer)


def free_name(graph: GraphModule, name: str) -> str:
    """`name`, or the first of those numbered after it that nothing goes by."""
    free, count = name, 1
    while _attribute(graph, free) is not None:
        count += 1
        free = f"{name}_{count}"
    return free
