"""Residual branches that can leave as a whole.

Where a network adds `x + f(x)`, the branch `f` can go and leave `x`. On a device whose kernels
work in blocks of channels this is the only way to make a narrow stage faster, and at high
compression it costs less accuracy than thin layers do (Sun et al. 2025, "MDP", section 4.3).
"""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass, replace
from inspect import isfunction, signature
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch.fx.passes.shape_prop import ShapeProp

from edgespiral.models.calling import positional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.groups import ChannelGroup

ADDITIONS = (operator.add, operator.iadd, torch.add)


@dataclass(frozen=True)
class Branch:
    """One operand of an addition that can be dropped.

    `groups` are the groups of channels that live wholly inside it; at width 0 they mean that the
    branch is gone. `layers` are its modules.
    """

    name: str
    addition: str
    operand: str
    groups: tuple[str, ...]
    layers: tuple[str, ...]


def find_branches(
    model: GraphModule, groups: Sequence[ChannelGroup], example: Tensors
) -> list[Branch]:
    """Every branch that an addition can do without, in network order.

    The longer operand is the branch; one that has no group of its own is left out.
    """
    ShapeProp(model).propagate(*positional(model.graph, example))
    branches: list[Branch] = []
    for node in model.graph.nodes:
        if node.op == "call_function" and node.target in ADDITIONS:
            branch = _branch_of(node, groups)
            if branch is not None:
                is_taken = branch.name in {other.name for other in branches}
                name = f"{branch.name}.{branch.addition}" if is_taken else branch.name
                branches.append(replace(branch, name=name))
    return branches


def drop(model: GraphModule, branches: Iterable[Branch]) -> GraphModule:
    """A copy of `model` in which each branch's addition passes its other operand through."""
    smaller = copy.deepcopy(model)
    nodes = {node.name: node for node in smaller.graph.nodes}
    for branch in branches:
        addition, operand = nodes[branch.addition], nodes[branch.operand]
        (other,) = [node for node in addition.all_input_nodes if node is not operand]
        for reader in list(addition.users):
            _leave_inputs(smaller, reader)
        addition.replace_all_uses_with(other)
        smaller.graph.erase_node(addition)
    smaller.graph.eliminate_dead_code()
    smaller.delete_all_unused_submodules()
    smaller.recompile()
    return smaller


def _leave_inputs(model: GraphModule, node: Node) -> None:
    """Let `node` change nothing in place: a sum was its own, other layers' outputs are not.

    They may be read again, and gradients of the layer that made them may be computed from them.
    """
    name = getattr(node.target, "__name__", str(node.target))
    if node.op == "call_module" and getattr(model.get_submodule(name), "inplace", False):
        layer: Any = model.get_submodule(name)
        layer.inplace = False
    elif node.op == "call_method" and name.endswith("_"):
        node.target = name.rstrip("_")
    elif node.op == "call_function":
        _call_apart(node, name)


def _call_apart(node: Node, name: str) -> None:
    function: Any = node.target
    if getattr(operator, name, None) is function:
        plain: Any = getattr(operator, name.removeprefix("i"), function)
        node.target = plain
    elif name.endswith("_"):
        name = name.rstrip("_")
        apart: Any = getattr(torch.nn.functional, name, None) or getattr(torch, name)
        node.target = apart
    elif isfunction(function) and "inplace" in signature(function).parameters:
        bound = signature(function).bind(*node.args, **node.kwargs)
        bound.arguments["inplace"] = False
        node.args, node.kwargs = bound.args, bound.kwargs


def dropped(branches: Sequence[Branch], widths: Mapping[str, int]) -> list[Branch]:
    """The branches whose groups all have width 0."""
    return [branch for branch in branches if all(widths.get(g, 1) == 0 for g in branch.groups)]


class Silencing(torch.fx.Interpreter):
    """Runs a model as if some branches were dropped; what only they need is not computed."""

    def __init__(self, model: GraphModule, branches: Iterable[Branch]) -> None:
        super().__init__(model)
        self._silent = {branch.addition: branch.operand for branch in branches}
        (end,) = (node for node in model.graph.nodes if node.op == "output")
        # Not all that leads nowhere: an in-place activation may have no readers of its own.
        self._skipped = _ancestors(end) - _reached(end, self._operands)

    def run_node(self, n: Node) -> object:
        """Run one node; an addition without its branch passes a copy of its other operand on."""
        if n in self._skipped and n.op != "placeholder":
            return None
        if n.name not in self._silent:
            return super().run_node(n)
        (other,) = self._operands(n)
        value = self.env[other]
        # As an addition would: what comes after may work in place.
        return value.clone()

    def differs_at(self, node: Node) -> bool:
        """Whether `node` is computed otherwise than in the whole model, or not at all."""
        return node.name in self._silent or (node in self._skipped and node.op != "placeholder")

    def run_from(self, start: Node, values: Mapping[Node, object]) -> object:
        """The outputs, from what the whole model has computed before `start` and yet reads.

        Args:
            start: at most the first node that differs.
            values: of the nodes before; they may be overwritten.
        """
        before = takewhile(lambda node: node is not start, self.graph.nodes)
        return self.run(initial_env={node: values.get(node) for node in before})

    def _operands(self, node: Node) -> list[Node]:
        return [
            operand
            for operand in node.all_input_nodes
            if operand.name != self._silent.get(node.name)
        ]


def _branch_of(addition: Node, groups: Sequence[ChannelGroup]) -> Branch | None:
    operands = addition.all_input_nodes
    if len(operands) != 2 or _shape(operands[0]) != _shape(operands[1]):
        return None
    exclusive = [_exclusive(operand, other) for operand, other in (operands, operands[::-1])]
    layers = [_modules(nodes) for nodes in exclusive]
    longer = 0 if len(layers[0]) >= len(layers[1]) else 1
    inside = tuple(g.name for g in groups if _lives_in(g, layers[longer]))
    if not inside:
        return None
    name = layers[longer][0].rpartition(".")[0] or layers[longer][0]
    return Branch(name, addition.name, operands[longer].name, inside, tuple(layers[longer]))


def _exclusive(operand: Node, other: Node) -> list[Node]:
    """Nodes that only `operand` needs: they die when the addition no longer reads it."""
    alive = _ancestors(other)
    nodes = [node for node in _ancestors(operand) if node not in alive]
    inside = set(nodes)
    while True:
        escaping = {n for n in inside if n is not operand and not set(n.users) <= inside}
        if not escaping:
            break
        inside -= escaping
    return [node for node in operand.graph.nodes if node in inside]


def _ancestors(node: Node) -> set[Node]:
    return _reached(node, lambda node: node.all_input_nodes)


def _reached(node: Node, inputs: Callable[[Node], Sequence[Node]]) -> set[Node]:
    seen: set[Node] = set()
    pending = [node]
    while pending:
        present = pending.pop()
        if present not in seen:
            seen.add(present)
            pending.extend(inputs(present))
    return seen


def _modules(nodes: Iterable[Node]) -> list[str]:
    return [str(node.target) for node in nodes if node.op == "call_module"]


def _lives_in(group: ChannelGroup, layers: Sequence[str]) -> bool:
    slots = (*group.producers, *group.consumers)
    return all(slot.layer in layers for slot in slots)


def _shape(node: Node) -> tuple[int, ...]:
    meta = node.meta.get("tensor_meta")
    return tuple(getattr(meta, "shape", ()))
