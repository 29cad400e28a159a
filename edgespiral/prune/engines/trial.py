"""A cut made to see whether groups of channels are what they are taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.system.analysis_limit import seconds_left
from edgespiral.prune.engines.base import Removal, check_cut
from edgespiral.prune.scoring.select import keep_best

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.engines.base import Cutter
    from edgespiral.prune.groups import ChannelGroup


def failed_trial(
    cutter: Cutter, model: GraphModule, groups: Sequence[ChannelGroup], inputs: Tensors
) -> str | None:
    """Cut a quarter of each group; None if the function is the masked model's, or what went wrong.

    It takes what a model does with its channels besides into account: sizes written into its
    forward, slices at fixed places, statistics over channels.

    Raises:
        ModelError: the time of the analysis was over (`analysing`).
    """
    # Few go, since of what stays some must speak: a difference that all ignore does not show.
    widths = {g.name: g.sub_groups * max(1, g.units - max(1, g.units // 4)) for g in groups}
    # Neither the first units nor every other one: a prime's multiples are as good as random.
    scores = {g.name: (torch.arange(g.channels) * 7919 % 101).float() for g in groups}
    kept_channels = keep_best(groups, scores, widths)
    try:
        check_cut(
            model,
            cutter.cut(model, inputs, groups, kept_channels),
            inputs,
            Removal(groups, kept_channels),
        )
    except ModelError as error:
        if seconds_left() <= 0:  # which is no fault of the groups
            raise
        return f"a trial cut of it fails ({error.what})"
    return None
