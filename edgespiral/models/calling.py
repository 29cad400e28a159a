"""Models of one input, of several in order, and of several by name, called in one way."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from edgespiral.core.nested import plain

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import Graph

    from edgespiral.core.nested import Tensors

# Of the one input of a traced model.
INPUT = "inputs"


def call(model: nn.Module, inputs: Tensors) -> Tensors:
    """What `model` says: of a tensor, of a tuple in order, of a dict by `forward`'s arguments.

    Args:
        model: any module.
        inputs: of N samples.

    Returns:
        Outputs in plain tuples and dicts, see `core.nested.plain`.

    Example:
        >>> from torch import nn, ones
        >>> call(nn.Bilinear(2, 3, 1), (ones(4, 2), ones(4, 3))).shape
        torch.Size([4, 1])
    """
    return plain(called(model, inputs))


def called(model: nn.Module, inputs: Tensors) -> object:
    """What `model` returns, as it comes."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def positional(graph: Graph, inputs: Tensors) -> tuple[Tensor, ...]:
    """The inputs in the order of a traced model's placeholders, as its interpreters take them."""
    if isinstance(inputs, dict):
        return tuple(inputs[str(node.target)] for node in graph.find_nodes(op="placeholder"))
    return inputs if isinstance(inputs, tuple) else (inputs,)


def input_names(model: nn.Module, inputs: Tensors) -> list[str]:
    """A name for each input: a dict's key, or the argument of `forward` that a tuple's place is."""
    if isinstance(inputs, dict):
        return list(inputs)
    if not isinstance(inputs, tuple):
        return [INPUT]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(model.forward).parameters.values()
    own = [parameter.name for parameter in parameters if parameter.kind in kinds]
    return [own[at] if at < len(own) else f"input_{at}" for at in range(len(inputs))]
