"""Groups of coupled channels from labels: what `find_groups` gives, for any architecture."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgespiral.core.errors import NothingToCutError
from edgespiral.models.fixed import fixed_names
from edgespiral.prune.batch_axes import batch_axes, with_batch_axes
from edgespiral.prune.engines.flow.follow import Flow, follow
from edgespiral.prune.engines.flow.labels import FROZEN
from edgespiral.prune.engines.flow.rules.layers import takes_whole_groups
from edgespiral.prune.groups import PRUNABLE, ChannelGroup, Slot, sharing_layers
from edgespiral.prune.unstack import RECURRENT, directions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors

NOT_FOLLOWED_BY_OTHERS = (
    nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.MultiheadAttention, nn.RNNBase, nn.Embedding,
    nn.PReLU, nn.GLU, nn.PixelShuffle, nn.PixelUnshuffle, nn.Unfold, nn.Fold, _ConvTransposeNd,
)  # fmt: skip
SIZES = {"size", "dim", "numel", "getattr"}
PRODUCTS = {"matmul", "bmm", "einsum", "scaled_dot_product_attention"}
COMPARING = {
    "max", "min", "amax", "amin", "aminmax", "median", "mode", "topk", "sort", "argsort",
    "kthvalue", "argmax", "argmin",
}  # fmt: skip
SHARED = "share a parameter with another layer"


@dataclass(frozen=True)
class FlowSurvey:
    """The groups that can be cut, and by layer how many channels of it stay, and why.

    `sums` has the reductions over channels that hold them, see `Flow`.
    """

    groups: list[ChannelGroup]
    uncuttable: dict[str, tuple[int, str]] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)


def groups_by_flow(model: GraphModule, example: Tensors) -> list[ChannelGroup]:
    """Every group of coupled channels of which all effects are known, in network order.

    Raises:
        NothingToCutError: nothing in the model can be cut; it says why.
    """
    survey = survey_by_flow(model, example)
    if not survey.groups:
        raise nothing_to_cut(survey.uncuttable)
    return survey.groups


def nothing_to_cut(uncuttable: Mapping[str, tuple[int, str]]) -> NothingToCutError:
    """The error that names the few reasons that hold the most channels."""
    reasons = main_reasons(uncuttable) or ["no layer of torch.nn makes any"]
    return NothingToCutError(
        f"no layer has channels that can be cut: {'; '.join(reasons)}",
        hint="see docs/architectures.md for what can be cut",
    )


def main_reasons(uncuttable: Mapping[str, tuple[int, str]], most: int = 3) -> list[str]:
    """What holds the most channels, as "layers: reason", the most channels first."""
    channels_by_reason: Counter[str] = Counter()
    layers: dict[str, list[str]] = {}
    for layer, (count, reason) in uncuttable.items():
        channels_by_reason[reason] += count
        layers.setdefault(reason, []).append(layer)
    lines = []
    for reason, _ in channels_by_reason.most_common(most):
        first, *rest = layers[reason]
        others = f" and {len(rest)} more" if rest else ""
        lines.append(f"{first}{others}: channels {reason}")
    return lines


def survey_by_flow(
    model: GraphModule,
    example: Tensors,
    flow: Flow | None = None,
    axes: Mapping[str, int] | None = None,
) -> FlowSurvey:
    """See `groups_by_flow`; this one tells what stays as well.

    Groups that no layer has whole, or that have a single unit, are left out, and so are those of
    layers that share a parameter, and those that do not see the model's inputs: gates, which
    differ by sample, cannot say what they matter.

    Args:
        model: the traced model.
        example: one input batch (1, C, H, W).
        flow: what `follow` says of the two, if that is known.
        axes: what `batch_axes` says of them, if that is known.
    """
    axes = batch_axes(model, example) if axes is None else axes
    return _Assembly(model, flow or follow(model, example)).survey(axes)


def needs_flow(model: GraphModule) -> bool:
    """Whether the graph has what other ways to find groups do not follow.

    Such are norms over channels, comparisons of them, parameters that the graph reads itself,
    attention, recurrent layers, selections of channels, and outputs of layers that meet the model's
    input; for all else
    Torch-Pruning gives the same groups. Through a chain of slices (RexNet's shortcuts,
    the crops of a causal convolution) it takes minutes, since it follows every channel by itself.
    """
    layers = [model.get_submodule(str(n.target)) for n in model.graph.find_nodes(op="call_module")]
    if any(isinstance(m, NOT_FOLLOWED_BY_OTHERS) or _is_uneven(m) for m in layers):
        return True
    if any(map(_compares_channels, model.graph.nodes)):
        return True
    names = {getattr(n.target, "__name__", n.target) for n in model.graph.nodes}
    reads_itself = any(True for _ in model.graph.find_nodes(op="get_attr"))
    if names & PRODUCTS or reads_itself or any(map(_takes_a_part, model.graph.nodes)):
        return True
    return _meets_input(model)


def _takes_a_part(node: Node) -> bool:
    """Whether it is a slice, as `x[:, :8]` or `x[..., 1:]`, other than of the batch."""
    if node.target is not operator.getitem or not isinstance(node.args[1], tuple):
        return False
    return any(isinstance(part, slice) and part != slice(None) for part in node.args[1][1:])


def _compares_channels(node: Node) -> bool:
    """Whether it is a maximum or the like, other than over all pixels, such as `x.amax(1)`.

    A cut on trial that happens to leave the largest would not show what others do to it.
    """
    name = str(getattr(node.target, "__name__", node.target))
    if name not in COMPARING or len(node.all_input_nodes) != 1:
        return False
    dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    several = isinstance(dims, tuple | list) and len(dims) > 1
    return not several or 1 in dims  # type: ignore[operator]


def _is_uneven(layer: nn.Module) -> bool:
    """Whether groups of a convolution have one channel on one side and several on the other."""
    whole = isinstance(layer, _ConvNd) and takes_whole_groups(layer)
    return whole and layer.in_channels != layer.out_channels


def _meets_input(model: GraphModule) -> bool:
    """Whether a layer's output is combined with the input as it comes: their channels must stay."""
    unweighted: set[Node] = set()
    for node in model.graph.nodes:
        inputs = set(node.all_input_nodes)
        if node.op == "placeholder":
            unweighted.add(node)
        elif node.op == "output" or not inputs & unweighted or _is_weighted_or_size(model, node):
            continue
        elif not inputs <= unweighted:
            return True
        else:
            unweighted.add(node)
    return False


def _is_weighted_or_size(model: GraphModule, node: Node) -> bool:
    if node.op == "call_module":
        return isinstance(model.get_submodule(str(node.target)), PRUNABLE)
    return getattr(node.target, "__name__", node.target) in SIZES


def _without_samples(model: GraphModule) -> set[str]:
    """Layers that compute the same whatever the input, such as one that makes position biases."""
    alone: set[Node] = set()
    for node in model.graph.nodes:
        if node.op != "placeholder" and alone >= set(node.all_input_nodes):
            alone.add(node)
    return {str(node.target) for node in alone if node.op == "call_module"}


class _Assembly:
    """Makes groups out of what labels came to."""

    def __init__(self, model: GraphModule, flow: Flow) -> None:
        self._flow = flow
        self._modules: dict[str, Any] = dict(model.named_modules())
        self._writes = {layer: units.tolist() for layer, units in flow.writes.items()}
        self._reads = {layer: units.tolist() for layer, units in flow.reads.items()}
        self._written = {layer: Counter(units) for layer, units in self._writes.items()}
        self._read = {unit for units in self._reads.values() for unit in units}
        self._order = [
            name
            for name in self._modules
            if name in flow.reads or (name in flow.writes and self._makes_channels(name))
        ]
        fixed = _without_samples(model)
        self._fixed = fixed
        self._shared = sharing_layers(model)
        self._roots = [layer for layer in self._order if layer not in fixed]

    def survey(self, axes: Mapping[str, int]) -> FlowSurvey:
        """The groups, whose slots say where samples lie, and what stays."""
        groups: list[ChannelGroup] = []
        uncuttable = {
            name: self._flow.frozen[name]
            for name in self._order
            if name in self._flow.frozen and not self._is_a_sum(name)
        } | self._not_followed()
        for units in (part for every in self._classes() for part in self._alike(every)):
            group = self._group(units)
            if isinstance(group, ChannelGroup):
                if all(slot.layer in axes for slot in group.consumers):
                    groups.append(with_batch_axes(group, axes))
                    continue
                reason = "are read in rows whose samples cannot be told apart"
            else:
                reason = group
            for layer in self._order:
                count = sum(unit in units for unit in self._writes[layer])
                if count:
                    uncuttable.setdefault(layer, (count, reason))
        groups = _with_own_names(sorted(groups, key=lambda g: self._order.index(g.root)))
        return FlowSurvey(groups, uncuttable, self._flow.sums)

    def _not_followed(self) -> dict[str, tuple[int, str]]:
        """Recurrent layers that are called in ways of which no effects on channels are known."""
        return {
            name: (layer.hidden_size, f"are not followed through ({type(layer).__name__} {name})")
            for name, layer in self._modules.items()
            if isinstance(layer, nn.RNNBase | nn.RNNCellBase) and name not in self._order
        }

    def _is_a_sum(self, name: str) -> bool:
        """Whether it is a layer of ours, which adds channels up."""
        return len(self._writes[name]) == 1 and bool(fixed_names(self._modules[name]))

    def _makes_channels(self, name: str) -> bool:
        return isinstance(self._modules[name], nn.Embedding | nn.RNNBase)

    def _classes(self) -> list[set[int]]:
        """Components that the same layers give, which are cut by one width."""
        classes: list[set[int]] = []
        for layer in self._order:
            here = self._written[layer].keys() - {FROZEN}
            joined = [classmates for classmates in classes if classmates & here]
            classes = [classmates for classmates in classes if not classmates & here]
            if here:
                classes.append(here.union(*joined))
        return classes

    def _alike(self, units: set[int]) -> list[set[int]]:
        """Those that one layer has evenly and no slice tells apart, a set each.

        Else those together that go to equal places; of every part that a slice takes, so some stay.
        """
        places: dict[int, list[tuple[object, int]]] = {unit: [] for unit in sorted(units)}
        # Of two directions equally many stay, so a slice that tells them apart leaves some of each.
        is_two_way = bool(units & set(self._flow.two_way.tolist()))
        for number, part in enumerate(() if is_two_way else self._flow.parts):
            for unit in part & units if not units <= part else ():
                places[unit].append((number, 1))
        if not any(self._is_whole(layer, units) for layer in self._roots):
            for layer in self._order:
                for unit, count in self._written[layer].items():
                    if unit in places:
                        places[unit].append((layer, count))
        parts: dict[tuple[tuple[object, int], ...], set[int]] = {}
        for unit, where in places.items():
            parts.setdefault(tuple(where), set()).add(unit)
        return list(parts.values())

    def _group(self, units: set[int]) -> ChannelGroup | str:
        """A group, or why there is none, as a verb of which channels are the subject."""
        root = next((r for r in self._roots if self._is_whole(r, units)), None)
        if len(units) < 2:
            return "leave only all together"
        if root is None:
            return "are no layer's as a whole"
        here = [unit for unit in self._writes[root] if unit in units]
        numbers = {unit: i for i, unit in enumerate(dict.fromkeys(here))}
        runs = len(here) // len(units)
        producers = _slots(self._writes, numbers, runs)
        consumers = _slots(self._reads, numbers, runs)
        producers.sort(key=lambda slot: slot.layer != root)
        free = self._free_runs(units, producers)
        problem = self._problem(units, producers, consumers) or (isinstance(free, str) and free)
        if problem:
            return problem
        both = tuple(producers), tuple(consumers)
        runs, is_free = max(runs, int(free)), int(free) > 1
        return ChannelGroup(root, len(here), runs, *both, free_runs=is_free)

    def _problem(
        self, units: set[int], producers: Sequence[Slot], consumers: Sequence[Slot]
    ) -> str | None:
        """Why channels that are coupled as they should be stay nevertheless."""
        if not units <= self._read:
            return "are read by no layer"
        if {slot.layer for slot in (*producers, *consumers)} & self._shared:
            return SHARED
        if {slot.layer for slot in consumers} & self._fixed:
            return "do not depend on the input"
        return None

    def _is_whole(self, layer: str, units: set[int]) -> bool:
        counts = {self._written[layer][unit] for unit in units}
        return len(counts) == 1 and 0 not in counts

    def _free_runs(self, units: set[int], producers: Sequence[Slot]) -> int | str:
        """2 where two directions choose each its own units, 1 elsewhere, or why it cannot be cut.

        Of each direction of a recurrent layer as many units must leave.
        """
        two = [s for s in producers if self._directions(s.layer) > 1]
        if not two:
            return 1
        written = [self._flow.writes[slot.layer] for slot in two]
        if any(bool((labels == FROZEN).any()) for labels in written):
            return "are in part held in one direction only"
        halves = [labels.view(2, -1) for labels in written]
        if all(torch.equal(half[0], half[1]) for half in halves):
            return 1
        same = all(torch.equal(slot.channel_of, two[0].channel_of) for slot in producers)
        if not same or len(units) != len(written[0]):
            return "couple the directions of a bidirectional layer unevenly"
        return 2

    def _directions(self, name: str) -> int:
        layer = self._modules[name]
        return directions(layer) if isinstance(layer, RECURRENT) else 1


def _with_own_names(groups: Sequence[ChannelGroup]) -> list[ChannelGroup]:
    """Where several groups have the same root, those after the first are numbered."""
    seen = Counter[str]()
    named = []
    for group in groups:
        seen[group.root] += 1
        count = seen[group.root]
        named.append(group if count == 1 else replace(group, name=f"{group.root}:{count}"))
    return named


def _slots(sides: Mapping[str, list[int]], numbers: dict[int, int], runs: int) -> list[Slot]:
    return [
        Slot(layer, _channels(components, numbers, runs))
        for layer, components in sides.items()
        if not numbers.keys().isdisjoint(components)
    ]


def _channels(components: Sequence[int], numbers: dict[int, int], runs: int) -> Tensor:
    """Per position the group's channel: run `r` of unit `u` is channel `u + r * units`."""
    totals, seen = Counter(components), Counter[int]()
    channels = []
    for component in components:
        unit = numbers.get(component, -1)
        run = seen[component] * runs // totals[component]
        seen[component] += 1
        channels.append(unit + run * len(numbers) if unit >= 0 else -1)
    return torch.tensor(channels)
