"""Cutting a traced model to given widths, by the engine asked for or the first that can."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.system.analysis_limit import WHAT, analysing
from edgespiral.core.system.time_limit import limited
from edgespiral.models.example_inputs import example_input
from edgespiral.models.fixed import fixed_names, train_all
from edgespiral.prune.branches import Branch, drop, dropped, find_branches
from edgespiral.prune.engines import AUTO, engine_called, engines_in_order
from edgespiral.prune.engines.base import GroupSurvey, Removal, check_cut, share_again
from edgespiral.prune.engines.flow.finder import nothing_to_cut
from edgespiral.prune.engines.flow.rewrite import explicit
from edgespiral.prune.groups import ChannelGroup, renamed
from edgespiral.prune.repeatable import check_repeatable
from edgespiral.prune.scoring.reconstruct import folded
from edgespiral.prune.scoring.select import keep_best
from edgespiral.prune.unstack import unstacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.engines.base import PruningEngine
    from edgespiral.prune.scoring.reconstruct import Moments

# By the clock, as in `trace`; what it may compute is `analysing`'s to say.
MOST_SECONDS = 300.0
# What training moves a factor of 1 by, at the least.
LEAST_STEP = 1e-2


@dataclass(frozen=True)
class PrunableModel:
    """A traced model, its groups of coupled channels and its removable branches.

    Attributes:
        example: one input batch (1, C, H, W), or a tuple or dict of several.
        found_by: the engine that found the groups.
        uncuttable: by layer how many of its channels stay whole and why, if that engine tells.
    """

    model: GraphModule
    groups: Sequence[ChannelGroup]
    branches: Sequence[Branch]
    example: Tensors
    found_by: str
    uncuttable: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: GraphModule,
        input_shape: tuple[int, ...],
        reference: Sequence[ChannelGroup] | None = None,
        *,
        token_count: int | None = None,
        may_be_uncuttable: bool = False,
        example: Tensors | None = None,
    ) -> PrunableModel:
        """Find the groups of `model`, whose inputs are (N, *input_shape), or as in `example`.

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
        if example is None:
            example = example_input(input_shape, token_count=token_count)
        with analysing(), limited(MOST_SECONDS, WHAT):
            check_repeatable(model, example)
            prunable = cls._surveyed(explicit(unstacked(model), example), example, reference)
        if not prunable.groups and reference is None and not may_be_uncuttable:
            raise nothing_to_cut(prunable.uncuttable)
        return prunable

    @classmethod
    def _surveyed(
        cls, model: GraphModule, example: Tensors, reference: Sequence[ChannelGroup] | None
    ) -> PrunableModel:
        for engine in engines_in_order():
            survey = engine.find_groups(model, example)
            if survey is not None:
                return cls._of(survey, example, reference, engine.name)
        raise ModelError("no pruning engine knows what the model does with its channels")

    @classmethod
    def _of(
        cls,
        survey: GroupSurvey,
        example: Tensors,
        reference: Sequence[ChannelGroup] | None,
        found_by: str,
    ) -> PrunableModel:
        groups = survey.groups if reference is None else renamed(survey.groups, reference)
        branches = find_branches(survey.model, groups, example)
        return cls(survey.model, groups, branches, example, found_by, survey.uncuttable)

    def without(self, widths: Mapping[str, int]) -> GroupSurvey:
        """The model less the branches whose groups have width 0, and the groups that are left."""
        gone = dropped(self.branches, widths)
        if not gone:
            return GroupSurvey(self.model, self.groups)
        smaller = drop(self.model, gone)
        survey = self.quick_engine.find_groups(smaller, self.example, known=self.groups)
        if survey is None:
            return GroupSurvey(smaller, [])
        return GroupSurvey(survey.model, renamed(survey.groups, self.groups))

    def candidate(self, widths: Mapping[str, int]) -> GraphModule:
        """An untrained stand-in of the given widths: right in shape, arbitrary in weights.

        Latency does not depend on weights, so any channels may go, and the quick engine cuts. Only
        a factor of 1 and a summand of 0 would, which runtimes leave out and training moves.
        """
        rest = self.without(widths)
        kept_channels = {group.name: _spread(group, widths[group.name]) for group in rest.groups}
        smaller = self.quick_engine.cut(rest.model, self.example, rest.groups, kept_channels)
        _leave_identity(smaller)
        return smaller

    @property
    def quick_engine(self) -> PruningEngine:
        """That found its groups, and makes its candidates."""
        return engine_called(self.found_by)


@torch.no_grad()
def _leave_identity(model: nn.Module) -> None:
    """Move parameters that are 1 or 0 throughout, as new layers' are, but for constants."""
    for layer in model.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            is_identity = bool((parameter == 1).all() or (parameter == 0).all())
            if is_identity and parameter.is_floating_point() and name not in fixed_names(layer):
                parameter.add_(LEAST_STEP)


def _spread(group: ChannelGroup, width: int) -> list[int]:
    """Channels from all over the group: where it is split, each part keeps its share."""
    units = width // group.sub_groups
    return group.channels_of_units(i * group.units // units for i in range(units))


def engines(source: PrunableModel, pruner: str) -> list[PruningEngine]:
    """The engines that `--pruner` allows for a model, in the order to try them.

    Raises:
        UsageError: the only one cannot cut what the model has.
    """
    if pruner == AUTO:
        return [
            engine
            for engine in engines_in_order()
            if source.found_by in engine.groups_of and not engine.cannot_cut(source.model)
        ]
    engine = engine_called(pruner)
    obstacle = engine.cannot_cut(source.model)
    if obstacle:
        raise UsageError(
            f"{pruner} cannot cut {obstacle}, as the model has",
            where="--pruner",
            hint=f"use --pruner {AUTO}",
        )
    return [engine]


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
    into the weights of the kept ones first. All parameters of the cut model are to be trained, but
    for those that are constants (`models.fixed`).

    Raises:
        ModelError: no engine that `pruner` allows can make the cut.
    """
    kept_channels = keep_best(source.groups, importance, widths)
    if moments is not None:
        source = replace(source, model=folded(source.model, source.groups, kept_channels, moments))
    removal = Removal(source.groups, kept_channels, dropped(source.branches, widths))
    rest = source.without(widths)
    failures = []
    for engine in engines(source, pruner):
        try:
            smaller = engine.cut(rest.model, source.example, rest.groups, kept_channels)
            share_again(rest.model, smaller)
            difference = check_cut(source.model, smaller, source.example, removal)
        except ModelError as error:
            failures.append(f"{engine.name}: {error}")
        else:
            train_all(smaller, like=rest.model)
            return Cut(smaller, engine.name, difference)
    raise ModelError("; ".join(failures), hint="docs/architectures.md lists what can be cut")
