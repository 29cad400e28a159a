"""Sizes of a graph's tensors and the numbers that its forward makes of them.

A forward that divides by `x.shape[1] ** 0.5` divides by something else once channels have left `x`.
That is not what their removal means, so such numbers are written down before a cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from edgespiral.core.nested import joined
from edgespiral.models.calling import positional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors


@dataclass(frozen=True)
class Sizes:
    """What of a model's sizes depends on the batch, by the name of the node.

    Attributes:
        batch: per tensor the dimensions whose size does.
        numbers: numbers, and tuples of them, for the batch at hand.
        fixed: the names of those that are the same for every batch.
    """

    batch: Mapping[str, list[int]]
    numbers: Mapping[str, Any]
    fixed: frozenset[str]


class _Recorder(torch.fx.Interpreter):
    """Runs a model and notes the shapes of its tensors and its numbers."""

    def __init__(self, model: GraphModule) -> None:
        super().__init__(model)
        self.shapes: dict[str, torch.Size] = {}
        self.numbers: dict[str, Any] = {}

    def run_node(self, n: Node) -> object:
        """Run one node."""
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.shapes[n.name] = value.shape
        elif n.op != "output" and _is_number(value):
            self.numbers[n.name] = value
        return value


def sizes_of(model: GraphModule, example: Tensors) -> Sizes:
    """Run `model` on a batch and on one twice as large, and compare.

    Args:
        model: the traced model.
        example: one input batch (N, ...).
    """
    single, double = _Recorder(model), _Recorder(model)
    with torch.no_grad():
        single.run(*positional(model.graph, example))
        double.run(*positional(model.graph, joined([example, example])))
    batch = {
        name: [
            d
            for d, sizes in enumerate(zip(shape, double.shapes[name], strict=True))
            if len({*sizes}) > 1
        ]
        for name, shape in single.shapes.items()
    }
    fixed = (name for name, number in single.numbers.items() if double.numbers.get(name) == number)
    return Sizes(batch, single.numbers, frozenset(fixed))


def write_down_numbers(
    model: GraphModule, sizes: Sizes, shapes_of: Callable[[str], list[list[int]]]
) -> None:
    """Put the numbers that a cut would change into the graph as they were, in place.

    Args:
        model: the model whose sizes are `sizes`, with the names of its nodes.
        sizes: from before the cut.
        shapes_of: the shapes after the cut of the tensors that a node gives.
    """
    after: dict[Node, Any] = {}
    for node in list(model.graph.nodes):
        old = sizes.numbers.get(node.name)
        if old is None or node.op not in ("call_function", "call_method"):
            continue
        try:
            after[node] = _computed(node, after, shapes_of)
        except Exception:  # such as an assertion about a size
            after[node] = None
        if after[node] != old and node.name in sizes.fixed:
            for user in list(node.users):
                if user.name not in sizes.numbers:
                    user.args, user.kwargs = _with_number(user, node, old)


def _computed(
    node: Node,
    after: Mapping[Node, Any],
    shapes_of: Callable[[str], list[list[int]]],
) -> Any:  # noqa: ANN401
    def value(node: Node) -> Any:  # noqa: ANN401
        if node in after:
            return after[node]
        tensors = [torch.empty(shape, device="meta") for shape in shapes_of(node.name)]
        return tensors[0] if len(tensors) == 1 else tuple(tensors)

    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), value)
    target: Any = node.target
    if node.op == "call_method":
        return getattr(args[0], target)(*args[1:], **kwargs)
    return target(*args, **kwargs)


def _with_number(user: Node, node: Node, number: Any) -> tuple[Any, Any]:  # noqa: ANN401
    def replaced(other: Node) -> Any:  # noqa: ANN401
        return number if other is node else other

    changed: tuple[Any, Any] = torch.fx.node.map_arg((user.args, user.kwargs), replaced)
    return changed


def _is_number(value: object) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and all(map(_is_number, value))
    return isinstance(value, int | float)
