"""A traced model as a network that can be drawn: its layers, and where their values meet."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from torch.nn.modules.conv import _ConvNd

from edgespiral.core.records.inspection import NetworkNode
from edgespiral.prune.cuttable_share import output_channels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn
    from torch.fx import GraphModule, Node


def network_of(model: GraphModule) -> tuple[NetworkNode, ...]:
    """Inputs, layers with channels and the joins between them, in the order of the forward.

    Whatever else is computed (norms, activations, pooling, reshaping) is part of the line from one
    node to the next; sizes that are read from a value lead nowhere.

    Args:
        model: traced, with the shapes of its values, as `PrunableModel` keeps them.
    """
    return tuple(_nodes(model))


def layer_channels(model: nn.Module) -> dict[str, int]:
    """Output channels of each layer that has some, by the name of the module."""
    outputs = ((name, output_channels(layer)) for name, layer in model.named_modules())
    return {name: channels for name, channels in outputs if channels is not None}


def _nodes(model: GraphModule) -> Iterator[NetworkNode]:
    channels = layer_channels(model)
    sources: dict[Node, Sequence[str]] = {}
    for node in model.graph.nodes:
        read = tuple(
            dict.fromkeys(
                chain.from_iterable(sources.get(value, ()) for value in node.all_input_nodes)
            )
        )
        layer = str(node.target) if node.op == "call_module" else ""
        is_tensor = "tensor_meta" in node.meta
        is_join = len(read) > 1 and is_tensor and node.op != "output"
        if node.op == "placeholder" or layer in channels or is_join:
            width = channels.get(layer)
            operator = _operator(node) if width is None else _layer_text(model, layer)
            yield NetworkNode(
                name=node.name, layer=layer, operator=operator, channels=width, inputs=read
            )
            read = (node.name,)
        sources[node] = read if is_tensor else ()


def _operator(node: Node) -> str:
    """What a node without channels is called: `input`, or its function's name."""
    if node.op == "placeholder":
        return "input"
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    return name.strip("_")


def _layer_text(model: nn.Module, name: str) -> str:
    """A layer's kind; of a convolution its kernel, its stride and its groups too."""
    layer = model.get_submodule(name)
    kind = type(layer).__name__
    if not isinstance(layer, _ConvNd):
        return kind
    text = f"{kind} {'x'.join(map(str, layer.kernel_size))}"
    if any(step != 1 for step in layer.stride):
        text += f", stride {'x'.join(map(str, dict.fromkeys(layer.stride)))}"
    if layer.groups == layer.out_channels > 1:
        return f"{text}, depthwise"
    return f"{text}, {layer.groups} groups" if layer.groups > 1 else text
