"""Cutting a traced model to given widths, by the engine asked for or the first that can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.prune.base import Cutter, Removal, check_cut
from edgespiral.prune.branches import Branch, drop, dropped, find_branches
from edgespiral.prune.depgraph import DepGraphCutter
from edgespiral.prune.flow.cutter import FlowCutter
from edgespiral.prune.flow.finder import groups_by_flow, needs_flow
from edgespiral.prune.flow.rewrite import explicit
from edgespiral.prune.groups import ChannelGroup, find_groups, renamed
from edgespiral.prune.nni_engine import NniCutter
from edgespiral.prune.select import keep_best

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

ENGINES: dict[str, tuple[Cutter, ...]] = {
    "nni": (NniCutter(),),
    "depgraph": (DepGraphCutter(),),
    "flow": (FlowCutter(),),
    "auto": (NniCutter(), DepGraphCutter(), FlowCutter()),
}


@dataclass(frozen=True)
class Cuttable:
    """A traced model, its groups of coupled channels and its removable branches."""

    model: GraphModule
    groups: Sequence[ChannelGroup]
    branches: Sequence[Branch]
    example: Tensor

    @classmethod
    def of(
        cls,
        model: GraphModule,
        input_shape: tuple[int, ...],
        reference: Sequence[ChannelGroup] | None = None,
    ) -> Cuttable:
        """Find the groups of `model`, whose inputs are (N, *input_shape).

        Where the model has attention, shuffles or norms over channels, these are written out
        first (`explicit`), so `model` here may be another form of the one given.

        With `reference`, the groups of the model that `model` was cut from, groups keep the names
        they had there.
        """
        example = torch.randn(1, *input_shape, generator=torch.Generator().manual_seed(0))
        model = explicit(model, example)
        find = groups_by_flow if needs_flow(model) else find_groups
        groups = find(model, example)
        if reference is not None:
            groups = renamed(groups, reference)
        return cls(model, groups, find_branches(model, groups, example), example)

    def without(self, widths: Mapping[str, int]) -> Cuttable:
        """The model less the branches whose groups have width 0."""
        gone = dropped(self.branches, widths)
        if not gone:
            return self
        shape = tuple(self.example.shape[1:])
        return Cuttable.of(drop(self.model, gone), shape, reference=self.groups)

    def candidate(self, widths: Mapping[str, int]) -> GraphModule:
        """An untrained stand-in of the given widths: right in shape, arbitrary in weights.

        Latency does not depend on weights, so any channels may go, and the quick engine cuts.
        """
        rest = self.without(widths)
        kept = {group.name: _spread(group, widths[group.name]) for group in rest.groups}
        engine = FlowCutter() if needs_flow(rest.model) else DepGraphCutter()
        return engine.cut(rest.model, rest.example, rest.groups, kept)


def _spread(group: ChannelGroup, width: int) -> list[int]:
    """Channels from all over the group: where it is split, each part keeps its share."""
    units = width // group.sub_groups
    return group.channels_of_units(i * group.units // units for i in range(units))


@dataclass(frozen=True)
class Cut:
    """A cut model, which engine made it, and how far it is from the masked model.

    `difference` is what `check_cut` returns.
    """

    model: GraphModule
    engine: str
    difference: float


def cut_to(
    source: Cuttable,
    widths: Mapping[str, int],
    importance: Mapping[str, Tensor],
    pruner: str,
) -> Cut:
    """Remove the least important channels and prove that the function is the masked model's.

    Raises:
        ModelError: no engine that `pruner` allows can make the cut.
    """
    kept = keep_best(source.groups, importance, widths)
    removal = Removal(source.groups, kept, dropped(source.branches, widths))
    rest = source.without(widths)
    failures = []
    only_flow = pruner == "auto" and needs_flow(source.model)
    for engine in ENGINES["flow" if only_flow else pruner]:
        try:
            smaller = engine.cut(rest.model, rest.example, rest.groups, kept)
            difference = check_cut(source.model, smaller, source.example, removal)
        except ModelError as error:
            failures.append(f"{engine.name}: {error}")
        else:
            return Cut(smaller, engine.name, difference)
    raise ModelError("; ".join(failures), hint="docs/architectures.md lists what can be cut")
