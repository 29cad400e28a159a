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

from edgespiral.prune.engines.flow.operations import rule_of
from edgespiral.prune.engines.flow.places import described
from edgespiral.prune.engines.flow.unlabelled import unlabelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

# Also the label of elements that stand for no channel: constants and the model's inputs.
FROZEN = 0
SUMMED_UP = "are summed up"


@dataclass
class Ties:
    """Labels, which of them must leave together, and where they may not leave at all.

    `steady` has labels and dimensions of one tensor, and why: a tensor that must not lose
    anything along a dimension has labels that are the same all along it. `held` has labels that
    never leave, and why. `two_way` has the units of layers with two directions, of each of which
    as many leave, though not at the same places. `here` is the operation that is being looked at,
    for such reasons.
    """

    count: int = 1
    pairs: list[Tensor] = field(default_factory=list)
    steady: list[tuple[Tensor, tuple[int, ...], str, bool]] = field(default_factory=list)
    held: list[tuple[Tensor, str]] = field(default_factory=list)
    two_way: list[Tensor] = field(default_factory=list)
    here: str = ""

    def fresh(self, count: int) -> Tensor:
        """(count,) labels that were not used before."""
        self.count += count
        return torch.arange(self.count - count, self.count)

    def tie(self, left: Tensor, right: Tensor) -> None:
        """Elements of two tensors of labels, equal in shape once broadcast, leave together.

        Those that meet what stands for no channel never leave.
        """
        left, right = torch.broadcast_tensors(left, right)  # type: ignore[no-untyped-call]
        differ = left != right
        if not bool(differ.any()):
            return
        left, right = left[differ], right[differ]
        alone = (left == FROZEN) | (right == FROZEN)
        if bool(alone.any()):
            self.freeze((left + right)[alone], "meet the input or a constant")
            left, right = left[~alone], right[~alone]
        code = torch.unique(left * (1 << 31) + right)
        self.pairs.append(torch.stack([code >> 31, code & ((1 << 31) - 1)], dim=1))

    def freeze(self, labels: Tensor, why: str = "") -> None:
        """None of these may leave, since they `why` in the operation at hand."""
        chosen = torch.zeros(self.count, dtype=torch.bool)
        chosen[labels.flatten()] = True
        chosen[FROZEN] = False
        if bool(chosen.any()):
            self.held.append((chosen.nonzero().flatten(), f"{why} ({self.here})".lstrip()))

    def hold_steady(
        self, labels: Tensor, dims: Sequence[int], why: str, *, apart: bool = False
    ) -> None:
        """Nothing leaves along `dims` of a tensor, since its channels `why`.

        Where elements only go `apart`, two rows of equally long directions may.
        """
        if dims and bool(labels.any()):
            self.steady.append((labels, tuple(dims), f"{why} ({self.here})", apart))

    def columns(self, labels: Tensor, dim: int) -> Tensor:
        """The labels along `dim`, (size,), which from now on are the same everywhere else."""
        rows = labels.movedim(dim, -1).reshape(-1, labels.shape[dim])
        self.tie(rows, rows[:1])
        return rows[0]

    def classes(self) -> Tensor:
        """Per label the number of its class: those that are tied, held or not; 0 is FROZEN's."""
        none = torch.zeros(0, 2, dtype=torch.long)
        pairs = torch.cat([none, *self.pairs]).numpy()
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (self.count,) * 2)
        _, numbers = connected_components(links, directed=False)
        return torch.from_numpy(numbers.astype(np.int64))

    def components(self) -> Tensor:
        """Per label the number of its component: those that leave together; 0 never leaves."""
        classes = self.classes()
        stays = torch.zeros(self.count, dtype=torch.bool)
        for labels, _ in self.held:
            stays[classes[labels]] = True
        return torch.where(stays[classes], FROZEN, classes)

    def reasons(self) -> dict[int, str]:
        """Why each class stays that is held, the first of its reasons."""
        classes, why = self.classes(), dict[int, str]()
        for labels, reason in self.held:
            for number in torch.unique(classes[labels]).tolist():
                why.setdefault(number, reason)
        return why


@dataclass(frozen=True)
class Flow:
    """What the labels of a graph came to, as components (0 is never removed).

    Attributes:
        nodes: per node, by name, the components of its tensors' elements.
        parameters: per parameter that the graph reads itself, those of its elements.
        reads: per layer that mixes channels, those of its input channels.
        writes: per layer those of its output channels; layers that do not mix, as norms and
            depthwise convolutions, write the channels that they read.
        indices: per indexing, by name, what it takes of each dimension.
        two_way: components of the units of layers with two directions.
        parts: components of what slices and splits take, each of which has to keep something.
        sums: per reduction that holds channels, by name, the dimension that they lie on.
        frozen: per layer that keeps some of its output channels, how many and why.
    """

    nodes: dict[str, tuple[Tensor, ...]]
    parameters: dict[str, Tensor]
    reads: dict[str, Tensor]
    writes: dict[str, Tensor]
    indices: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    two_way: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    parts: list[set[int]] = field(default_factory=list)
    sums: dict[str, int] = field(default_factory=dict)
    frozen: dict[str, tuple[int, str]] = field(default_factory=dict)


class Labeller(torch.fx.Interpreter):
    """Runs a graph on an example and labels every tensor on the way."""

    def __init__(self, model: GraphModule) -> None:
        super().__init__(model, garbage_collect_values=False)
        self.ties = Ties()
        self.labels: dict[Node, Any] = {}
        self.parameters: dict[str, Tensor] = {}
        self.reads: dict[str, Tensor] = {}
        self.writes: dict[str, Tensor] = {}
        self.indices: dict[str, tuple[Any, ...]] = {}
        self.parts: list[Tensor] = []
        self.places: dict[Node, str] = {}
        self.reduced: dict[str, tuple[Tensor, tuple[int, ...]]] = {}

    def run_node(self, n: Node) -> object:
        """Run one node and label its result."""
        value = super().run_node(n)
        self.ties.here = self.places[n] = described(n, self.submodules)
        self.labels[n] = self._labels(n, value)
        return value

    def _labels(self, node: Node, value: object) -> Any:  # noqa: ANN401
        if node.op == "placeholder":
            return unlabelled(value)
        if node.op == "get_attr":
            return self._attribute(str(node.target), value)
        if node.op == "output":
            for labels in self.tensors(node.args):
                self.ties.freeze(labels, "reach the output")
            return None
        return rule_of(node, self.submodules)(self, node, value)

    def _attribute(self, name: str, value: object) -> Tensor | None:
        if not isinstance(value, torch.Tensor):
            return None
        # One value for all, or positions in another tensor, stands for no channel.
        if value.numel() == 1 or not value.is_floating_point():
            return torch.zeros_like(value, dtype=torch.long)
        if name not in self.parameters:
            self.parameters[name] = self.ties.fresh(value.numel()).view(value.shape)
        return self.parameters[name]

    def opaque(self, node: Node, value: object) -> Any:  # noqa: ANN401
        """Freeze what goes into a node that nothing is known about."""
        return self.opaque_labels(self.tensors((node.args, node.kwargs)), value)

    def opaque_labels(self, operands: Sequence[Tensor], value: object) -> Any:  # noqa: ANN401
        """Freeze `operands`; what is made of them stands for no channel."""
        for labels in operands:
            self.ties.freeze(labels, "are not followed through")
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
        labeller.indices,
        _two_way(labeller.ties, settled),
        [set(torch.unique(settled[part]).tolist()) for part in labeller.parts],
        _sums(labeller),
        _frozen(labeller, settled),
    )


def _sums(labeller: Labeller) -> dict[str, int]:
    """Reductions over channels that hold them."""
    classes, reasons = labeller.ties.classes(), labeller.ties.reasons()
    sums = {}
    for name, (labels, dims) in labeller.reduced.items():
        here = classes[labels]
        lost = [d for d in dims if d in varying(here)]
        held = {reasons.get(number, "") for number in torch.unique(here).tolist()}
        if len(lost) == 1 and any(reason.startswith(SUMMED_UP) for reason in held):
            sums[name] = lost[0]
    return sums


def _frozen(labeller: Labeller, settled: Tensor) -> dict[str, tuple[int, str]]:
    classes, reasons = labeller.ties.classes(), labeller.ties.reasons()
    frozen = {}
    for name, labels in labeller.writes.items():
        stays = classes[labels][settled[labels] == FROZEN].tolist()
        if stays:
            first = next((reasons[number] for number in stays if number in reasons), "")
            frozen[name] = (len(stays), first)
    return frozen


def varying(labels: Tensor) -> list[int]:
    """Dimensions along which the labels are not all the same."""
    return [d for d in range(labels.dim()) if bool((labels != labels.narrow(d, 0, 1)).any())]


def losing(components: Tensor, two_way: Tensor) -> list[int]:
    """Dimensions along which a tensor loses channels; more than one, and it cannot be cut.

    Of two directions as many units leave, so a tensor with both in two rows loses columns.
    """
    dims = varying(components)
    for rows in dims:
        others = [d for d in dims if d != rows]
        apart = len(dims) == 2 and components.shape[rows] == 2
        if apart and bool(torch.isin(components, two_way).all()):
            each = components.unbind(rows)
            if all(len(varying(row)) == 1 for row in each):
                return others
    return dims


def _settled(labeller: Labeller) -> Tensor:
    """Components after freezing whatever cannot be sliced out of every tensor.

    A tensor can lose channels where what leaves is a slice of one dimension. Freezing can make
    another tensor's labels one-dimensional, never the opposite, so one more look is enough to
    know that nothing is left to freeze; the loop looks until then.
    """
    ties = labeller.ties
    tensors = [(n, x) for n, v in labeller.labels.items() for x in _flat(v) if bool(x.any())]
    while True:
        components = ties.components()
        known = len(ties.held)
        two_way = _two_way(ties, components)
        for node, labels in tensors:
            if len(losing(components[labels], two_way)) > 1:
                ties.here = labeller.places[node]
                ties.freeze(labels, "are not a slice of one dimension")
        for labels, dims, why, apart in ties.steady:
            here = components[labels]
            if set(dims) & set(losing(here, two_way) if apart else varying(here)):
                ties.here = ""
                ties.held.append((torch.unique(labels[labels > 0]), why))
        fresh = [labels for labels, _ in ties.held[known:]]
        if not fresh or not bool(components[torch.cat(fresh)].any()):
            return components


def _two_way(ties: Ties, components: Tensor) -> Tensor:
    return torch.cat([torch.zeros(0, dtype=torch.long), *(components[t] for t in ties.two_way)])


def _flat(tree: object) -> Iterator[Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        items: Sequence[object] = tree
        for item in items:
            yield from _flat(item)
