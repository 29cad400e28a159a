"""Cuts by Torch-Pruning's dependency graph (Fang et al. 2023, DepGraph)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, NothingToCutError
from edgespiral.core.system.analysis_limit import share_of_analysis
from edgespiral.prune.batch_axes import batch_axes, with_batch_axes
from edgespiral.prune.engines.base import GroupSurvey, NoRecurrentLayers
from edgespiral.prune.engines.flow.finder import needs_flow
from edgespiral.prune.engines.trial import failed_trial
from edgespiral.prune.groups import dependency_graph, find_groups, removed_channels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.engines.base import PruningEngine
    from edgespiral.prune.groups import ChannelGroup

# ResNets take a second; through layers that run over channels as over pixels, it has no end.
MOST_SHARE = 0.3


class DepGraphCutter(NoRecurrentLayers):
    """Removes channels group by group, layer by layer, by slicing parameters."""

    name = "depgraph"
    order = 20
    groups_of: tuple[str, ...] = ("depgraph",)

    def find_groups(
        self,
        model: GraphModule,
        example: Tensors,
        *,
        known: Sequence[ChannelGroup] | None = None,
    ) -> GroupSurvey | None:
        """Torch-Pruning's, unless the model does with its channels what that does not see.

        Statistics over channels, fixed parts of them, gates made of halves: a cut on trial shows
        it.
        """
        if known is not None:
            return GroupSurvey(model, _groups(model, example))
        if needs_flow(model):
            return None
        groups = _sound_groups(model, example)
        if groups is None or failed_trial(self, model, groups, example):
            return None
        return GroupSurvey(model, groups)

    def cut(
        self,
        model: GraphModule,
        example: Tensors,
        groups: Sequence[ChannelGroup],
        kept_channels: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """See `Cutter.cut`."""
        smaller = copy.deepcopy(model)
        graph = dependency_graph(smaller, example)
        removed = removed_channels(groups, kept_channels)
        for name, channels in ((g.root, removed[g.name]) for g in groups if g.name in removed):
            layer = smaller.get_submodule(name)
            handler = graph.get_pruner_of_module(layer).prune_out_channels
            try:
                group = graph.get_pruning_group(layer, handler, channels)
                # Its check refuses groups that lose every channel, which would leave no layer.
                if not graph.check_pruning_group(group):
                    raise ModelError("cannot remove every channel", where=name)
                group.prune()
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(
                    "Torch-Pruning cannot cut it: its rules do not fit a layer that is tied to it",
                    where=name,
                    hint="try --pruner flow, or auto, which takes the first engine that can",
                ) from error
        return smaller


def _groups(model: GraphModule, example: Tensors) -> list[ChannelGroup]:
    try:
        return find_groups(model, example)
    except NothingToCutError:
        return []


def _sound_groups(model: GraphModule, example: Tensors) -> list[ChannelGroup] | None:
    """The groups whose consumers' samples lie on known axes; None unless all do."""
    try:
        with share_of_analysis(MOST_SHARE, "Torch-Pruning"):
            groups = find_groups(model, example)
        axes = batch_axes(model, example)
    except ModelError:
        return None
    if any(slot.layer not in axes for group in groups for slot in group.consumers):
        return None
    return [with_batch_axes(group, axes) for group in groups]


PLUGIN: PruningEngine = DepGraphCutter()
