"""Which elements of which tensors belong to one channel, found by running the graph on labels.

Beside its value every tensor gets a tensor of labels of the same shape: an element's label says
which output channel of which layer (or which element of which parameter) it stands for. Layers
that mix channels give new labels; operations that only move elements, such as a reshape, move
labels as they move values; arithmetic ties the labels that meet. What is not understood freezes
the labels that go in, so that nothing is cut which has not been followed to its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edgespiral.prune.engines.flow.operations import rule_of, unlabelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

# Also the label of elements that stand for no channel: constants and the model's inputs.
FROZEN = 0


@dataclass
class Ties:
    """Labels, which of them must leave together, and where they may not leave at all.

    `steady` has pairs of labels and dimensions of one tensor: a tensor that must not lose
    anything along a dimension has labels that are the same all along it.
    """

    count: int = 1
    pairs: list[Tensor] = field(default_factory=list)
    steady: list[tuple[Tensor, tuple[int, ...]]] = field(default_factory=list)

    def fresh(self, count: int) -> Tensor:
        """(count,) labels that were not used before."""
        self.count += count
        return torch.arange(self.count - count, self.count)

    def tie(self, left: Tensor, right: Tensor) -> None:
        """Elements of two tensors of labels, equal in shape once broadcast, leave together."""
        left, right = torch.broadcast_tensors(left, right)  # type: ignore[no-untyped-call]
        differ = left != right
        if bool(differ.any()):
            code = torch.unique(left[differ] * (1 << 31) + right[differ])
            self.pairs.append(torch.stack([code >> 31, code & ((1 << 31) - 1)], dim=1))

    def freeze(self, labels: Tensor) -> None:
        """None of these may leave."""
        self.tie(labels, torch.zeros_like(labels))

    def columns(self, labels: Tensor, dim: int) -> Tensor:
        """The labels along `dim`, (size,), which from now on are the same everywhere else."""
        rows = labels.movedim(dim, -1).reshape(-1, labels.shape[dim])
        self.tie(rows, rows[:1])
        return rows[0]

    def components(self) -> Tensor:
        """Per label the number of its component: those that leave together; 0 never leaves."""
        pairs = torch.cat([torch.zeros(1, 2, dtype=torch.long), *self.pairs]).numpy()
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (self.count,) * 2)
        _, found = connected_components(links, directed=False)
        # The frozen label is the first, so its component is number 0.
        return torch.from_numpy(found.astype(np.int64))


@dataclass(frozen=True)
class Flow:
    """What the labels of a graph came to, as components (0 is never removed).

    Attributes:
        nodes: per node, by name, the components of its tensors' elements.
        parameters: per parameter that the graph reads itself, those of its elements.
        reads: per layer that mixes channels, those of its input channels.
        writes: per layer those of its output channels; layers that do not mix, as norms and
            depthwise convolutions, write the channels that they read.
    """

    nodes: dict[str, tuple[Tensor, ...]]
    parameters: dict[str, Tensor]
    reads: dict[str, Tensor]
    writes: dict[str, Tensor]


class Labeller(torch.fx.Interpreter):
    """Runs a graph on an example and labels every tensor on the way."""

    def __init__(self, model: GraphModule) -> None:
        super().__init__(model, garbage_collect_values=False)
        self.ties = Ties()
        self.labels: dict[Node, Any] = {}
        self.parameters: dict[str, Tensor] = {}
        self.reads: dict[str, Tensor] = {}
        self.writes: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> object:
        """Run one node and label its result."""
        value = super().run_node(n)
        self.labels[n] = self._labels(n, value)
        return value

    def _labels(self, node: Node, value: object) -> Any:  # noqa: ANN401
        if node.op == "placeholder":
            return unlabelled(value)
        if node.op == "get_attr":
            return self._attribute(str(node.target), value)
        if node.op == "output":
            for labels in self.tensors(node.args):
                self.ties.freeze(labels)
            return None
        return rule_of(node, self.submodules)(self, node, value)

    def _attribute(self, name: str, value: object) -> Tensor | None:
        if not isinstance(value, torch.Tensor):
            return None
        if not isinstance(value, torch.nn.Parameter):
            return torch.zeros_like(value, dtype=torch.long)
        if name not in self.parameters:
            self.parameters[name] = self.ties.fresh(value.numel()).view(value.shape)
        return self.parameters[name]

    def opaque(self, node: Node, value: object) -> Any:  # noqa: ANN401
        """Freeze what goes into a node that nothing is known about."""
        for labels in self.tensors((node.args, node.kwargs)):
            self.ties.freeze(labels)
        return unlabelled(value)

    def tensors(self, tree: Any) -> list[Tensor]:  # noqa: ANN401
        """Labels of all tensors that the arguments `tree` of a node stand for."""
        found: list[Tensor] = []
        torch.fx.node.map_arg(tree, lambda node: found.extend(_flat(self.labels[node])))
        return found

    def labels_in(self, tree: Any) -> Any:  # noqa: ANN401
        """`tree` with labels in place of the tensors, and values in place of other nodes."""
        return torch.fx.node.map_arg(
            tree, lambda n: self.env[n] if self.labels[n] is None else self.labels[n]
        )

    def values_in(self, tree: Any) -> Any:  # noqa: ANN401
        """`tree` with values in place of nodes."""
        return torch.fx.node.map_arg(tree, lambda n: self.env[n])


@torch.no_grad()
def follow(model: GraphModule, example: Tensor) -> Flow:
    """Label every tensor of `model` and settle which labels leave together.

    Args:
        model: the traced model.
        example: one input batch (1, C, H, W).
    """
    labeller = Labeller(model)
    labeller.run(example)
    settled = _settled(labeller)
    return Flow(
        {n.name: tuple(settled[x] for x in _flat(v)) for n, v in labeller.labels.items()},
        {name: settled[labels] for name, labels in labeller.parameters.items()},
        {name: settled[labels] for name, labels in labeller.reads.items()},
        {name: settled[labels] for name, labels in labeller.writes.items()},
    )


def varying(labels: Tensor) -> list[int]:
    """Dimensions along which the labels are not all the same."""
    return [d for d in range(labels.dim()) if bool((labels != labels.narrow(d, 0, 1)).any())]


def _settled(labeller: Labeller) -> Tensor:
    """Components after freezing whatever cannot be sliced out of every tensor.

    A tensor can lose channels where what leaves is a slice of one dimension. Freezing can make
    another tensor's labels one-dimensional, never the opposite, so one more look is enough to
    know that nothing is left to freeze; the loop looks until then.
    """
    ties = labeller.ties
    tensors = [x for v in labeller.labels.values() for x in _flat(v) if bool(x.any())]
    while True:
        components = ties.components()
        known = len(ties.pairs)
        for labels in tensors:
            if len(varying(components[labels])) > 1:
                ties.freeze(labels)
        for labels, dims in ties.steady:
            if set(dims) & set(varying(components[labels])):
                ties.freeze(labels)
        fresh = torch.cat(ties.pairs[known:]) if len(ties.pairs) > known else torch.zeros(0, 2)
        if not bool(components[fresh.long()].any()):
            return components


def _flat(tree: object) -> Iterator[Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        items: Sequence[object] = tree
        for item in items:
            yield from _flat(item)
