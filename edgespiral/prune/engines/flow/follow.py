"""Which channels leave together, where labels have followed them through a whole graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.conv import _ConvNd

from edgespiral.models.calling import positional
from edgespiral.prune.engines.flow.labels import FROZEN, Labeller, Ties, compact, flat, varying
from edgespiral.prune.engines.flow.rules.moves import scales
from edgespiral.prune.engines.flow.rules.operations import TAKEN_TOGETHER, rule_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from torch import Tensor
    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors


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
        sums: per operation that takes channels in together and holds them, by name, the dimension
            that they lie on.
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


@torch.no_grad()
def follow(model: GraphModule, example: Tensors) -> Flow:
    """Label every tensor of `model` and settle which labels leave together.

    Of a grouped convolution the same places of every group leave; where these would be all of them,
    as when each group is an attention head, whole groups do.

    Args:
        model: the traced model.
        example: one input batch (1, C, H, W).
    """
    labeller, settled = _labelled(model, example)
    stuck = _stuck_groups(labeller, settled)
    if stuck:
        labeller, settled = _labelled(model, example, stuck)
    return Flow(
        {
            n.name: tuple(settled[compact(x)].expand(x.shape) for x in flat(v))
            for n, v in labeller.labels.items()
        },
        {name: settled[labels] for name, labels in labeller.parameters.items()},
        {name: settled[labels] for name, labels in labeller.reads.items()},
        {name: settled[labels] for name, labels in labeller.writes.items()},
        labeller.indices,
        _two_way(labeller.ties, settled),
        [set(torch.unique(settled[part]).tolist()) for part in labeller.parts],
        _sums(labeller),
        _frozen(labeller, settled),
    )


def _labelled(
    model: GraphModule, example: Tensors, whole_groups: Collection[str] = ()
) -> tuple[Labeller, Tensor]:
    labeller = Labeller(model, rule_of, whole_groups)
    labeller.run(*positional(model.graph, example))
    return labeller, _settled(labeller)


def _stuck_groups(labeller: Labeller, settled: Tensor) -> set[str]:
    """Grouped convolutions of which everything that may leave leaves only all together."""
    return {
        name
        for name, layer in labeller.submodules.items()
        if isinstance(layer, _ConvNd)
        and layer.groups > 1
        and name in labeller.reads
        and all(_is_one(settled[side[name]]) for side in (labeller.reads, labeller.writes))
    }


def _is_one(components: Tensor) -> bool:
    return bool((components == components[0]).all()) and int(components[0]) != FROZEN


def _sums(labeller: Labeller) -> dict[str, int]:
    """Operations that take channels in together, and so hold them."""
    classes, reasons = labeller.ties.classes(), labeller.ties.reasons()
    sums = {}
    for name, (labels, dims) in labeller.reduced.items():
        here = classes[labels]
        lost = [d for d in dims if d in varying(here)]
        why = {reasons.get(number, "") for number in torch.unique(here).tolist()}
        if len(lost) == 1 and any(reason.startswith(TAKEN_TOGETHER) for reason in why):
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


def _decide_scaling(ties: Ties) -> None:
    """Freeze what scales all of another's channels; what does no longer leaves with those."""
    for met in ties.scaling:
        classes, ties.here = ties.classes(), met.here
        operands = [classes[labels] for labels in met.operands]
        if scales(classes[met.labels], operands):
            ties.freeze(met.labels, "scale all of another layer's")
            continue
        for labels in met.operands:
            if bool(labels.any()):
                ties.tie(met.labels, labels)


def _settled(labeller: Labeller) -> Tensor:
    """Components after freezing whatever cannot be sliced out of every tensor.

    A tensor can lose channels where what leaves is a slice of one dimension. Freezing can make
    another tensor's labels one-dimensional, never the opposite, so one more look is enough to
    know that nothing is left to freeze; the loop looks until then.
    """
    ties = labeller.ties
    _decide_scaling(ties)
    tensors = list(_distinct(labeller))
    while True:
        components = ties.components()
        frozen_before = len(ties.held)
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
        fresh = [labels for labels, _ in ties.held[frozen_before:]]
        if not fresh or not bool(components[torch.cat(fresh)].any()):
            return components


def _distinct(labeller: Labeller) -> Iterator[tuple[Node, Tensor]]:
    """Each tensor of labels, with the first operation that has it as its result."""
    seen: set[tuple[object, ...]] = set()
    for node, labels in labeller.labels.items():
        for tensor in map(compact, flat(labels)):
            key = (tensor.data_ptr(), tensor.shape, tensor.stride())
            if key not in seen and bool(tensor.any()):
                seen.add(key)
                yield node, tensor


def _two_way(ties: Ties, components: Tensor) -> Tensor:
    return torch.cat([torch.zeros(0, dtype=torch.long), *(components[t] for t in ties.two_way)])
