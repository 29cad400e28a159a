"""From scores and widths to the channels that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from edgespiral.prune.groups import ChannelGroup

Importance = dict[str, "Tensor"]


def unit_scores(group: ChannelGroup, scores: Tensor) -> Tensor:
    """Sum (channels,) scores over the channels that leave together: (units,).

    Where each run of channels chooses its own, the best of each are together, then the next best.
    """
    runs = scores.reshape(group.sub_groups, group.units)
    return (runs.sort(1, descending=True).values if group.free_runs else runs).sum(0)


def keep_best(
    groups: Sequence[ChannelGroup],
    importance: Mapping[str, Tensor],
    widths: Mapping[str, int],
) -> dict[str, list[int]]:
    """Per group the `widths[name]` channels of the highest scores, in their original order.

    Ties go to the lower index, so that equal inputs give equal cuts.
    """
    return {
        group.name: _best(group, importance[group.name], widths[group.name]) for group in groups
    }


def _best(group: ChannelGroup, scores: Tensor, width: int) -> list[int]:
    if group.free_runs:
        runs = scores.reshape(group.sub_groups, group.units)
        best = torch.argsort(runs, dim=1, descending=True, stable=True)
        units = best[:, : width // group.sub_groups]
        return sorted((units + group.units * torch.arange(len(runs))[:, None]).flatten().tolist())
    order = torch.argsort(unit_scores(group, scores), descending=True, stable=True)
    return group.channels_of_units(order[: width // group.sub_groups].tolist())
