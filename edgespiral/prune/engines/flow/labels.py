"""Which elements of which tensors belong to one channel, found by running the graph on labels.

Beside its value every tensor gets a tensor of labels of the same shape: an element's label says
which output channel of which layer (or which element of which parameter) it stands for. Layers
that mix channels give new labels; operations that only move elements, such as a reshape, move
labels as they move values; arithmetic ties the labels that meet. What is not understood freezes
the labels that go in, so that nothing is cut which has not been followed to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edgespiral.prune.engines.flow.places import described

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from torch import Tensor, nn
    from torch.fx import GraphModule, Node

# Also the label of elements that stand for no channel: constants and the model's inputs.
FROZEN = 0

# What a rule fails with that did not think of such a call: what goes in stays whole.
UNFORESEEN = (RuntimeError, IndexError, KeyError, TypeError, ValueError, AttributeError)

Rule = Callable[["Labeller", "Node", Any], Any]
RuleOf = Callable[["Node", dict[str, "nn.Module"]], Rule]


@dataclass(frozen=True)
class Scaling:
    """Labels that had one element where another operand's channels lie when they met, and where.

    Rows that are tied only later, such as of a class token that joins the others, look like that,
    too.
    """

    labels: Tensor
    operands: Sequence[Tensor]
    here: str


@dataclass
class Ties:
    """Labels, which of them must leave together, and where they may not leave at all.

    `steady` has labels and dimensions of one tensor, and why: a tensor that must not lose
    anything along a dimension has labels that are the same all along it. `held` has labels that
    never leave, and why. `two_way` has the units of layers with two directions, of each of which
    as many leave, though not at the same places. `scaling` is to be decided once all is tied.
    `here` is the operation that is being looked at, for such reasons.
    """

    count: int = 1
    pairs: list[Tensor] = field(default_factory=list)
    steady: list[tuple[Tensor, tuple[int, ...], str, bool]] = field(default_factory=list)
    held: list[tuple[Tensor, str]] = field(default_factory=list)
    two_way: list[Tensor] = field(default_factory=list)
    scaling: list[Scaling] = field(default_factory=list)
    here: str = ""
    _classes: tuple[int, Tensor] | None = None

    def fresh(self, count: int) -> Tensor:
        """(count,) labels that were not used before."""
        self.count += count
        return torch.arange(self.count - count, self.count)

    def tie(self, left: Tensor, right: Tensor) -> None:
        """Elements of two tensors of labels, equal in shape once broadcast, leave together.

        Those that meet what stands for no channel never leave.
        """
        left, right = _repeated_once(left, right)
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
        frozen = torch.unique(compact(labels))
        frozen = frozen[frozen != FROZEN]
        if len(frozen):
            self.held.append((frozen, f"{why} ({self.here})".lstrip()))

    def hold_steady(
        self, labels: Tensor, dims: Sequence[int], why: str, *, apart: bool = False
    ) -> None:
        """Nothing leaves along `dims` of a tensor, since its channels `why`.

        Where elements only go `apart`, two rows of equally long directions may.
        """
        labels = compact(labels)
        if dims and bool(labels.any()):
            self.steady.append((labels, tuple(dims), f"{why} ({self.here})", apart))

    def columns(self, labels: Tensor, dim: int) -> Tensor:
        """The labels along `dim`, (size,), which from now on are the same everywhere else."""
        rows = (
            compact(labels, besides=dim % labels.dim())
            .movedim(dim, -1)
            .reshape(-1, labels.shape[dim])
        )
        self.tie(rows, rows[:1])
        return rows[0]

    def classes(self) -> Tensor:
        """Per label the number of its class: those that are tied, held or not; 0 is FROZEN's."""
        if self._classes is None or self._classes[0] != len(self.pairs):
            none = torch.zeros(0, 2, dtype=torch.long)
            pairs = torch.cat([none, *self.pairs]).numpy()
            links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (self.count,) * 2)
            _, numbers = connected_components(links, directed=False)
            self._classes = len(self.pairs), torch.from_numpy(numbers.astype(np.int64))
        return self._classes[1]

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


def compact(labels: Tensor, *, besides: int | None = None) -> Tensor:
    """`labels` once along each dimension, other than `besides`, along which they are repeated."""
    for dim, (size, stride) in enumerate(zip(labels.shape, labels.stride(), strict=True)):
        if size > 1 and stride == 0 and dim != besides:
            labels = labels.narrow(dim, 0, 1)
    return labels


def varying(labels: Tensor) -> list[int]:
    """Dimensions along which the labels are not all the same."""
    labels = compact(labels)
    sized = (d for d, size in enumerate(labels.shape) if size > 1)
    return [d for d in sized if bool((labels != labels.narrow(d, 0, 1)).any())]


def _repeated_once(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Both broadcast to one shape, which is 1 along the dimensions that both are repeated along."""
    both: list[Tensor] = torch.broadcast_tensors(left, right)  # type: ignore[no-untyped-call]
    left, right = both
    for dim, size in enumerate(left.shape):
        if size > 1 and left.stride(dim) == right.stride(dim) == 0:
            left, right = left.narrow(dim, 0, 1), right.narrow(dim, 0, 1)
    return left, right


def unlabelled(value: object) -> Any:  # noqa: ANN401
    """Labels of a result that stands for no channel: 0, or None where it is not a tensor."""
    if isinstance(value, torch.Tensor):
        return torch.zeros((), dtype=torch.long).expand(value.shape)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list) and any(isinstance(v, torch.Tensor) for v in value):
        return tuple(unlabelled(v) for v in value)
    return None


class Labeller(torch.fx.Interpreter):
    """Runs a graph on an example and labels every tensor on the way.

    Args:
        model: the traced model.
        rule_of: finds what a node that calls something does to labels.
        whole_groups: grouped convolutions of which whole groups leave, and not the same places of
            each.
    """

    def __init__(
        self, model: GraphModule, rule_of: RuleOf, whole_groups: Collection[str] = ()
    ) -> None:
        super().__init__(model, garbage_collect_values=False)
        self.whole_groups = whole_groups
        self._rule_of = rule_of
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
        try:
            return self._rule_of(node, self.submodules)(self, node, value)
        except UNFORESEEN:
            return opaque(self, node, value)

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
        tensors_there: list[Tensor] = []
        torch.fx.node.map_arg(tree, lambda node: tensors_there.extend(flat(self.labels[node])))
        return tensors_there

    def labels_in(self, tree: Any) -> Any:  # noqa: ANN401
        """`tree` with labels in place of the tensors, and values in place of other nodes."""
        return torch.fx.node.map_arg(
            tree, lambda n: self.env[n] if self.labels[n] is None else self.labels[n]
        )

    def values_in(self, tree: Any) -> Any:  # noqa: ANN401
        """`tree` with values in place of nodes."""
        return torch.fx.node.map_arg(tree, lambda n: self.env[n])


def flat(tree: object) -> Iterator[Tensor]:
    """The tensors in tuples and lists of them."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        items: Sequence[object] = tree
        for item in items:
            yield from flat(item)


def opaque(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    """Freeze what goes into an operation of which nothing is known."""
    return run.opaque(node, value) if run.tensors((node.args, node.kwargs)) else unlabelled(value)
