"""Absolute scaling factor of the channel's batch norms, of a model trained to have few large.

Network slimming (Liu et al. 2017, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.core.errors import ModelError
from edgespiral.prune.scoring.criteria.base import Criterion, Evidence, per_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup
    from edgespiral.prune.scoring.criteria.base import Importance


class SparseScales(Criterion):
    """Reads the scales that the training before it has driven to zero."""

    trains_scales = True

    def score(
        self,
        model: GraphModule,
        groups: Sequence[ChannelGroup],
        evidence: Evidence,  # noqa: ARG002
    ) -> Importance:
        """Per group the sum over its batch norms, with a mean of 1."""
        return {group.name: per_mean(_scales(model, group)) for group in groups}

    def check(self, model: GraphModule, groups: Sequence[ChannelGroup]) -> None:
        """Refuse a group without batch norm."""
        for group in groups:
            _scales(model, group)


def _scales(model: GraphModule, group: ChannelGroup) -> Tensor:
    total = torch.zeros(group.channels)
    has_norm = False
    for slot in group.producers:
        layer = model.get_submodule(slot.layer)
        if isinstance(layer, _BatchNorm) and layer.weight is not None:
            governed = slot.channel_of >= 0
            scale = layer.weight.detach().abs().to(total)
            total.index_add_(0, slot.channel_of[governed], scale[governed])
            has_norm = True
    if not has_norm:
        raise ModelError(
            "l1-reg reads scaling factors of batch norm, and no batch norm follows this layer",
            where=group.name,
            hint="use another --criterion, such as fisher",
        )
    return total


PLUGIN = SparseScales()
