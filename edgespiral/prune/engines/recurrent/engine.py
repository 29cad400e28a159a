"""Groups of coupled channels of models with recurrent layers.

Torch-Pruning and NNI know neither GRUs nor the halves of a bidirectional output, so these models
have an engine of their own: `prune.labels` finds who reads which channel, `prune.slicing` cuts.
Each group is cut once on trial and compared with the masked model before it is offered, so that
what a model does with its channels besides (sizes written into its forward, slices at fixed places)
shows before anything is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edgespiral.core.errors import ModelError, NothingToCutError
from edgespiral.prune.engines.recurrent.labels import FREE, find_labels
from edgespiral.prune.engines.recurrent.slicing import SlicingCutter
from edgespiral.prune.engines.trial import failed_trial
from edgespiral.prune.groups import ChannelGroup, Slot, sharing_layers
from edgespiral.prune.unstack import RECURRENT, directions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn
    from torch.fx import GraphModule

    from edgespiral.prune.engines.recurrent.labels import Findings, Side

TRIAL_SAMPLES = 3


@dataclass(frozen=True)
class Survey:
    """The groups that can be cut, and by layer why the channels of others must stay."""

    groups: list[ChannelGroup]
    refused: dict[str, str]


def find_recurrent_groups(model: GraphModule, example: Tensor) -> list[ChannelGroup]:
    """Every group of coupled channels that can be cut, in network order.

    A recurrent layer's hidden units are a group: forward units, then backward ones, of which
    equally many leave, each direction choosing its own.

    Args:
        model: traced, and through `prune.unstack.unstacked`.
        example: one input (1, ...).

    Raises:
        NothingToCutError: nothing can be cut; it says why.
        ModelError: groups can be cut one at a time only.
    """
    survey = survey_groups(model, example)
    if not survey.groups:
        reasons = "; ".join(f"{layer}: {why}" for layer, why in survey.refused.items())
        raise NothingToCutError(
            f"no layer has channels that can be cut: {reasons}", where=type(model).__name__
        )
    return survey.groups


def survey_groups(model: GraphModule, example: Tensor) -> Survey:
    """See `find_recurrent_groups`; this one also tells what was refused, and why."""
    inputs = example.repeat(TRIAL_SAMPLES, *[1] * (example.dim() - 1))
    try:
        findings = find_labels(model, inputs)
    except Exception as error:
        raise ModelError(
            f"it does not run on a batch of {len(inputs)}: {' '.join(str(error).split())[:200]}",
            where=type(model).__name__,
        ) from error
    _fix_shared(model, findings)
    found = _Assembly(model, findings).groups()
    groups, refused, cutter = [], {}, SlicingCutter()
    for name, group in found.items():
        reason = (
            failed_trial(cutter, model, [group], inputs)
            if isinstance(group, ChannelGroup)
            else group
        )
        if isinstance(group, ChannelGroup) and reason is None:
            groups.append(group)
        else:
            refused[name] = str(reason)
    reason = failed_trial(cutter, model, groups, inputs)
    if reason is not None:
        raise ModelError(f"its layers cannot be cut together: {reason}", where=type(model).__name__)
    return Survey(groups, refused)


def _fix_shared(model: nn.Module, findings: Findings) -> None:
    """Layers that share a parameter cannot be cut apart."""
    for name in sharing_layers(model):
        for sides in (findings.produced, findings.consumed, findings.followed):
            if name in sides:
                findings.fix(sides[name].channel, f"{name} shares a parameter")


class _Assembly:
    """Makes groups out of the couplings of channels."""

    def __init__(self, model: GraphModule, findings: Findings) -> None:
        self._modules = dict(model.named_modules())
        self._findings = findings
        self._class_of = _classes(findings)
        self._fixed = {self._class(number): why for number, why in findings.fixed.items()}

    def groups(self) -> dict[str, ChannelGroup | str]:
        """By the name of the first layer: a group, or why there is none."""
        order = [name for name in self._modules if name in self._findings.produced]
        waiting = {name: self._classes_of(self._findings.produced[name]) for name in order}
        made: dict[str, ChannelGroup | str] = {}
        while waiting:
            first = next(iter(waiting))
            coupled = _coupled_with(first, waiting)
            made[first] = self._group({name: waiting.pop(name) for name in coupled})
        return {g.name if isinstance(g, ChannelGroup) else name: g for name, g in made.items()}

    def _group(self, producers: Mapping[str, Tensor]) -> ChannelGroup | str:
        every = set(torch.cat([*producers.values()]).tolist())
        fixed = [why for number, why in self._fixed.items() if number in every]
        if fixed:
            return fixed[0]
        root = next((n for n, own in producers.items() if every == set(own.tolist())), None)
        if root is None:
            return "no layer has all channels of its group"
        place = {number: i for i, number in reversed(list(enumerate(producers[root].tolist())))}
        runs = max(self._runs(name) for name in producers)
        together = len(place) < len(producers[root])
        slots = [Slot(name, _places(own, place)) for name, own in producers.items()]
        if runs == 1 and together:
            return "two of its channels are coupled with each other"
        if runs > 1 and not self._aligned(slots, producers[root], runs):
            return "the directions of a bidirectional layer are coupled unevenly"
        consumers = self._slots(self._findings.consumed, place)
        if not consumers:
            return "no layer reads it"
        slots += self._slots(self._findings.followed, place)
        slots.sort(key=lambda slot: slot.layer != root)
        free = runs > 1 and not together
        channels = len(producers[root])
        return ChannelGroup(root, channels, runs, tuple(slots), tuple(consumers), free_runs=free)

    def _aligned(self, slots: Iterable[Slot], root: Tensor, runs: int) -> bool:
        """Whether every layer has the same channels at the same places of each direction."""
        own = root.view(runs, -1)
        tied = bool((own == own[0]).all())
        distinct = len(set(root.tolist())) == len(root)
        same = all(torch.equal(s.channel_of, next(iter(slots)).channel_of) for s in slots)
        return same and (tied or distinct)

    def _runs(self, name: str) -> int:
        layer = self._modules[name]
        return directions(layer) if isinstance(layer, RECURRENT) else 1

    def _slots(self, sides: Mapping[str, Side], place: Mapping[int, int]) -> list[Slot]:
        slots = [
            Slot(name, _places(self._classes_of(side), place), side.batch_axis)
            for name, side in sides.items()
        ]
        return [slot for slot in slots if bool((slot.channel_of >= 0).any())]

    def _classes_of(self, side: Side) -> Tensor:
        return torch.tensor([self._class(number) for number in side.channel.tolist()])

    def _class(self, number: int) -> int:
        return FREE if number == FREE else int(self._class_of[number])


def _coupled_with(first: str, producers: Mapping[str, Tensor]) -> list[str]:
    """The producers that share channels with `first`, directly or through others."""
    found, classes = [first], set(producers[first].tolist())
    while True:
        more = [n for n in producers if n not in found and classes & set(producers[n].tolist())]
        if not more:
            return [name for name in producers if name in found]
        found += more
        classes.update(*(producers[name].tolist() for name in more))


def _classes(findings: Findings) -> Tensor:
    """Per channel the number of its class of coupled channels."""
    count = findings.count
    first, second = zip(*findings.joined, strict=True) if findings.joined else ((), ())
    links = coo_array(([1] * len(first), (list(first), list(second))), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    return torch.as_tensor(labels).long()


def _places(classes: Tensor, place: Mapping[int, int]) -> Tensor:
    return torch.tensor([place.get(number, FREE) for number in classes.tolist()])
