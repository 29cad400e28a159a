"""Cuts by Torch-Pruning's dependency graph (Fang et al. 2023, DepGraph)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.prune.groups import dependency_graph, removed_channels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup


class DepGraphCutter:
    """Removes channels group by group, layer by layer, by slicing parameters."""

    name = "depgraph"

    def cut(
        self,
        model: GraphModule,
        example: Tensor,
        groups: Sequence[ChannelGroup],
        kept: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """See `Cutter.cut`."""
        smaller = copy.deepcopy(model)
        graph = dependency_graph(smaller, example)
        removed = removed_channels(groups, kept)
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
                raise ModelError(f"Torch-Pruning cannot cut it: {error}", where=name) from error
        return smaller
