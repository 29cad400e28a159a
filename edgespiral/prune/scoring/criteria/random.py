"""Uniform scores from the seed: the control that every other criterion must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.prune.scoring.criteria.base import Criterion, Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup
    from edgespiral.prune.scoring.criteria.base import Importance


class Random(Criterion):
    """A control that looked at anything would be none."""

    is_control = True

    def score(
        self,
        model: GraphModule,  # noqa: ARG002
        groups: Sequence[ChannelGroup],
        evidence: Evidence,
    ) -> Importance:
        """Per group uniform scores."""
        generator = torch.Generator().manual_seed(evidence.seed)
        return {group.name: torch.rand(group.channels, generator=generator) for group in groups}


PLUGIN = Random()
