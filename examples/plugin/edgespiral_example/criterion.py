"""How much a channel's weights differ from one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.prune.scoring.criteria.base import Criterion, per_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup
    from edgespiral.prune.scoring.criteria.base import Evidence


class Spread(Criterion):
    """The standard deviation of the weights that make a channel, of all its layers together."""

    def score(
        self,
        model: GraphModule,
        groups: Sequence[ChannelGroup],
        evidence: Evidence,  # noqa: ARG002 (weights are all that it looks at)
    ) -> dict[str, Tensor]:
        """Per group a (channels,) tensor with a mean of 1."""
        scores = {}
        for group in groups:
            total = torch.zeros(group.channels)
            for slot in group.producers:
                layer = model.get_submodule(slot.layer)
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    spread = layer.weight.detach().flatten(1).std(1, correction=0)
                    # A layer may make channels that are not of this group: -1.
                    own = slot.channel_of >= 0
                    total.index_add_(0, slot.channel_of[own], spread[own])
            scores[group.name] = per_mean(total)
        return scores


PLUGIN = Spread()
