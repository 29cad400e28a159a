"""Where layers that are made of a trace's functions are put."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.models.source import own_state
from edgespiral.models.tracing.layers import layer_class

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


def drop_unread(graph: GraphModule) -> None:
    """Take away the weights that the graph reads neither itself nor by its layers.

    They are what layers were made of (the bias beside a weight that gave a layer its place, the
    factors of one that was computed), or what others have left in a layer, such as counters of
    operations. No gradient would reach them, and they would pass for another layer's.
    """
    read = {str(node.target) for node in graph.graph.find_nodes(op="get_attr")}
    for path in {str(node.target) for node in graph.graph.find_nodes(op="call_module")}:
        read |= {f"{path}.{name}" for name in _read_by(graph.get_submodule(path))}
    for name in graph.state_dict().keys() - read:
        parent, _, own = name.rpartition(".")
        place = graph.get_submodule(parent)
        if own in place._parameters or own in place._buffers:
            delattr(place, own)


def _read_by(layer: nn.Module) -> set[str]:
    """What a layer computes by; all that it has where its source cannot tell."""
    try:
        return own_state(layer) if layer_class(layer) is not None else set(layer.state_dict())
    except ModelError:
        return set(layer.state_dict())  # told when its source is written
