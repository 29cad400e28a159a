"""Cutting a traced model to given widths, by the engine asked for or the first that can."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, NothingToCutError, UsageError
from edgespiral.core.time_limit import limited
from edgespiral.models.example_inputs import example_input
from edgespiral.prune.batch_axes import batch_axes, with_batch_axes
from edgespiral.prune.branches import Branch, drop, dropped, find_branches
from edgespiral.prune.engines.base import Cutter, Removal, check_cut
from edgespiral.prune.engines.depgraph import DepGraphCutter
from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.finder import needs_flow, nothing_to_cut, survey_by_flow
from edgespiral.prune.engines.flow.proven import proven_groups
from edgespiral.prune.engines.flow.rewrite import explicit
from edgespiral.prune.engines.nni import NniCutter
from edgespiral.prune.engines.trial import failed_trial
from edgespiral.prune.groups import ChannelGroup, find_groups, renamed
from edgespiral.prune.repeatable import check_repeatable
from edgespiral.prune.scoring.reconstruct import folded
from edgespiral.prune.scoring.select import keep_best
from edgespiral.prune.unstack import recurrent_layers, unstacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.scoring.reconstruct import Moments

ENGINES: dict[str, tuple[Cutter, ...]] = {
    "nni": (NniCutter(),),
    "depgraph": (DepGraphCutter(),),
    "flow": (FlowCutter(),),
    "auto": (NniCutter(), DepGraphCutter(), FlowCutter()),
}
# ResNets take seconds, the largest transformers minutes.
MOST_SECONDS = 1800.0


@dataclass(frozen=True)
class PrunableModel:
    """A traced model, its groups of coupled channels and its removable branches.

    With `by_flow` the groups are those of `prune.flow`, whatever the graph looks like, and `kept`
    says by layer how many of its channels stay whole, and why.
    """

    model: GraphModule
    groups: Sequence[ChannelGroup]
    branches: Sequence[Branch]
    example: Tensor
    by_flow: bool = False
    kept: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: GraphModule,
        input_shape: tuple[int, ...],
        reference: Sequence[ChannelGroup] | None = None,
        *,
        token_count: int | None = None,
        may_be_uncuttable: bool = False,
    ) -> PrunableModel:
        """Find the groups of `model`, whose inputs are (N, *input_shape).

        Where the model has attention, shuffles, stacks of recurrent layers or norms over channels,
        these are written out first (`explicit`), so `model` here may be another form of the one
        given.

        With `reference`, the groups of the model that `model` was cut from, groups keep the names
        they had there, and there may be none left. With `token_count`, inputs are token ids below
        it. There may be none either where the model `may_be_uncuttable`.

        Raises:
            NothingToCutError: nothing can be cut; it says why.
            ModelError: the model does not run on several samples, its outputs are random, or it
                takes too long to find its groups.
        """
        example = example_input(input_shape, token_count=token_count)
        with limited(MOST_SECONDS, "finding what can be cut"):
            check_repeatable(model, example)
            made = cls._found(explicit(unstacked(model), example), example, reference)
        if not made.groups and reference is None and not may_be_uncuttable:
            raise nothing_to_cut(made.kept)
        return made

    @classmethod
    def _found(
        cls, model: GraphModule, example: Tensor, reference: Sequence[ChannelGroup] | None
    ) -> PrunableModel:
        found = None if needs_flow(model) else _sound_groups(model, example)
        if found is not None:
            return cls._of(model, example, reference, found)
        model, survey = proven_groups(model, example)
        return cls._of(model, example, reference, survey.groups, survey.kept)

    @classmethod
    def _of(
        cls,
        model: GraphModule,
        example: Tensor,
        reference: Sequence[ChannelGroup] | None,
        groups: Sequence[ChannelGroup],
        kept: Mapping[str, tuple[int, str]] | None = None,
    ) -> PrunableModel:
        if reference is not None:
            groups = renamed(groups, reference)
        branches = find_branches(model, groups, example)
        return cls(model, groups, branches, example, by_flow=kept is not None, kept=kept or {})

    def without(self, widths: Mapping[str, int]) -> PrunableModel:
        """The model less the branches whose groups have width 0."""
        gone = dropped(self.branches, widths)
        if not gone:
            return self
        smaller = drop(self.model, gone)
        if self.by_flow:
            survey = survey_by_flow(smaller, self.example)
            return PrunableModel._of(smaller, self.example, self.groups, survey.groups, survey.kept)
        return PrunableModel._of(smaller, self.example, self.groups, _found(smaller, self.example))

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
        return FlowCutter() if self.by_flow else DepGraphCutter()


def _found(model: GraphModule, example: Tensor) -> list[ChannelGroup]:
    try:
        return find_groups(model, example)
    except NothingToCutError:
        return []


def _sound_groups(model: GraphModule, example: Tensor) -> list[ChannelGroup] | None:
    """Torch-Pruning's, unless the model does with its channels what Torch-Pruning does not see.

    Statistics over channels, fixed parts of them, gates made of halves: a cut on trial shows it.
    """
    try:
        groups = find_groups(model, example)
        axes = batch_axes(model, example)
    except ModelError:
        return None
    if any(slot.layer not in axes for group in groups for slot in group.consumers):
        return None
    groups = [with_batch_axes(group, axes) for group in groups]
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
    if pruner not in ("auto", "flow") and recurrent_layers(source.model):
        raise UsageError(
            f"{pruner} cannot cut recurrent layers, as the model has",
            where="--pruner",
            hint="use --pruner auto",
        )
    return ENGINES["flow" if pruner == "auto" and source.by_flow else pruner]


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
