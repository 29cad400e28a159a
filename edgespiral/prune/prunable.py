"""Cutting a traced model to given widths, by the engine asked for or the first that can."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, NothingToCutError, UsageError
from edgespiral.models.example_inputs import example_input
from edgespiral.prune.branches import Branch, drop, dropped, find_branches
from edgespiral.prune.engines.base import Cutter, Removal, check_cut
from edgespiral.prune.engines.depgraph import DepGraphCutter
from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.finder import groups_by_flow, needs_flow
from edgespiral.prune.engines.flow.rewrite import explicit
from edgespiral.prune.engines.nni import NniCutter
from edgespiral.prune.engines.recurrent.engine import find_recurrent_groups
from edgespiral.prune.engines.recurrent.slicing import SlicingCutter
from edgespiral.prune.engines.trial import failed_trial
from edgespiral.prune.groups import ChannelGroup, find_groups, renamed
from edgespiral.prune.scoring.reconstruct import folded
from edgespiral.prune.scoring.select import keep_best
from edgespiral.prune.unstack import recurrent_layers, unstacked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.scoring.reconstruct import Moments

ENGINES: dict[str, tuple[Cutter, ...]] = {
    "nni": (NniCutter(),),
    "depgraph": (DepGraphCutter(),),
    "flow": (FlowCutter(),),
    "auto": (NniCutter(), DepGraphCutter(), FlowCutter()),
}
# Neither of them can cut recurrent layers.
ENGINES_FOR_RECURRENT: dict[str, tuple[Cutter, ...]] = {"auto": (SlicingCutter(),)}


@dataclass(frozen=True)
class PrunableModel:
    """A traced model, its groups of coupled channels and its removable branches.

    With `by_flow` the groups are those of `prune.flow`, whatever the graph looks like.
    """

    model: GraphModule
    groups: Sequence[ChannelGroup]
    branches: Sequence[Branch]
    example: Tensor
    by_flow: bool = False

    @classmethod
    def of(
        cls,
        model: GraphModule,
        input_shape: tuple[int, ...],
        reference: Sequence[ChannelGroup] | None = None,
        *,
        token_count: int | None = None,
    ) -> PrunableModel:
        """Find the groups of `model`, whose inputs are (N, *input_shape).

        Where the model has attention, shuffles or norms over channels, these are written out
        first (`explicit`), so `model` here may be another form of the one given.

        With `reference`, the groups of the model that `model` was cut from, groups keep the names
        they had there, and there may be none left. With `token_count`, inputs are token ids below
        it.

        Raises:
            NothingToCutError: nothing can be cut.
            ModelError: a recurrent layer has options that rule it out.
        """
        example = example_input(input_shape, token_count=token_count)
        if recurrent_layers(model):
            return cls._of(unstacked(model), example, reference, by_flow=False)
        model = explicit(model, example)
        found = None if needs_flow(model) else _sound_groups(model, example)
        return cls._of(model, example, reference, by_flow=found is None, found=found)

    @classmethod
    def _of(
        cls,
        model: GraphModule,
        example: Tensor,
        reference: Sequence[ChannelGroup] | None,
        *,
        by_flow: bool,
        found: list[ChannelGroup] | None = None,
    ) -> PrunableModel:
        try:
            groups = found or _finder(model, by_flow=by_flow)(model, example)
        except NothingToCutError:
            if reference is None:
                raise
            groups = []
        if reference is not None:
            groups = renamed(groups, reference)
        return cls(model, groups, find_branches(model, groups, example), example, by_flow)

    def without(self, widths: Mapping[str, int]) -> PrunableModel:
        """The model less the branches whose groups have width 0."""
        gone = dropped(self.branches, widths)
        if not gone:
            return self
        smaller = drop(self.model, gone)
        return PrunableModel._of(smaller, self.example, self.groups, by_flow=self.by_flow)

    def candidate(self, widths: Mapping[str, int]) -> GraphModule:
        """An untrained stand-in of the given widths: right in shape, arbitrary in weights.

        Latency does not depend on weights, so any channels may go, and the quick engine cuts.
        """
        rest = self.without(widths)
        kept = {group.name: _spread(group, widths[group.name]) for group in rest.groups}
        return rest.quick_engine.cut(rest.model, rest.example, rest.groups, kept)

    @property
    def quick_engine(self) -> Cutter:
        """That makes its candidates."""
        if recurrent_layers(self.model):
            return SlicingCutter()
        return FlowCutter() if self.by_flow else DepGraphCutter()


def _finder(
    model: GraphModule, *, by_flow: bool
) -> Callable[[GraphModule, Tensor], list[ChannelGroup]]:
    if recurrent_layers(model):
        return find_recurrent_groups
    return groups_by_flow if by_flow else find_groups


def _sound_groups(model: GraphModule, example: Tensor) -> list[ChannelGroup] | None:
    """Torch-Pruning's, unless the model does with its channels what Torch-Pruning does not see.

    Statistics over channels, fixed parts of them, gates made of halves: a cut on trial shows it.
    """
    try:
        groups = find_groups(model, example)
    except ModelError:
        return None
    return None if failed_trial(DepGraphCutter(), model, groups, example) else groups


def _spread(group: ChannelGroup, width: int) -> list[int]:
    """Channels from all over the group: where it is split, each part keeps its share."""
    units = width // group.sub_groups
    return group.channels_of_units(i * group.units // units for i in range(units))


def engines(source: PrunableModel, pruner: str) -> tuple[Cutter, ...]:
    """The engines that `--pruner` allows for a model, in the order to try them.

    Raises:
        UsageError: none of them can cut recurrent layers, and the model has some.
    """
    if not recurrent_layers(source.model):
        return ENGINES["flow" if pruner == "auto" and source.by_flow else pruner]
    if pruner not in ENGINES_FOR_RECURRENT:
        raise UsageError(
            f"{pruner} cannot cut recurrent layers, as the model has",
            where="--pruner",
            hint="use --pruner auto",
        )
    return ENGINES_FOR_RECURRENT[pruner]


@dataclass(frozen=True)
class Cut:
    """A cut model, which engine made it, and how far it is from the masked model.

    `difference` is what `check_cut` returns.
    """

    model: GraphModule
    engine: str
    difference: float


def cut_to(
    source: PrunableModel,
    widths: Mapping[str, int],
    importance: Mapping[str, Tensor],
    pruner: str,
    moments: Mapping[str, Moments] | None = None,
) -> Cut:
    """Remove the least important channels and prove that the function is the masked model's.

    With `moments` of the source's layers, what the removed channels told their consumers is folded
    into the weights of the kept ones first.

    Raises:
        ModelError: no engine that `pruner` allows can make the cut.
    """
    kept = keep_best(source.groups, importance, widths)
    if moments is not None:
        source = replace(source, model=folded(source.model, source.groups, kept, moments))
    removal = Removal(source.groups, kept, dropped(source.branches, widths))
    rest = source.without(widths)
    failures = []
    for engine in engines(source, pruner):
        try:
            smaller = engine.cut(rest.model, rest.example, rest.groups, kept)
            difference = check_cut(source.model, smaller, source.example, removal)
        except ModelError as error:
            failures.append(f"{engine.name}: {error}")
        else:
            return Cut(smaller, engine.name, difference)
    raise ModelError("; ".join(failures), hint="docs/architectures.md lists what can be cut")
