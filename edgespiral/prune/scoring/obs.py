"""Scores that know what folding mends: a channel that others tell of costs little, however strong.

A criterion scores each channel as if it alone went and nothing made up for it. But what goes is
folded into what stays (`prune/scoring/reconstruct.py`), so channels leave one after the other here,
each time the one whose leaving moves its consumers least once it is folded: the optimal brain
surgeon's step (Hassibi and Stork 1993, "Second order derivatives for network pruning", eq. 5) on
the least-squares problem of each consumer, whose Hessian is the covariance of its inputs. The
criterion says how much a move of the channel's size matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.prune.scoring.reconstruct import foldable, regularised
from edgespiral.prune.scoring.select import unit_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup, Slot
    from edgespiral.prune.scoring.reconstruct import Moments

# Between what the criterion says of a channel (1) and its consumers' least-squares error (0).
CRITERION_SHARE = 0.5
# Of what the channels of a group give to their consumers; below it they are dead, all of them.
LEAST_STRENGTH = 1e-30


@torch.no_grad()
def after_folding(
    scores: Mapping[str, Tensor],
    model: GraphModule,
    groups: Sequence[ChannelGroup],
    moments: Mapping[str, Moments],
) -> dict[str, Tensor]:
    """`scores` with each group's channels in the order in which they are best done without.

    A channel's new score is what its leaving costs at that point, at least that of all before it.
    Groups of which some consumer cannot have anything folded in, or whose channels do not leave as
    units, keep their scores.

    Args:
        scores: per group (channels,), non-negative.
        model: the traced model.
        groups: its groups.
        moments: of its layers' inputs.

    Raises:
        ModelError: scores are not finite.
    """
    return {
        group.name: _rescored(scores[group.name], group, _readers(model, group, moments))
        for group in groups
    }


@dataclass
class _Reader:
    """One consumer, as it is with what has left so far folded in.

    Attributes:
        weights: (units, positions a unit, outputs).
        inverse: of the inputs' covariance, (units, positions, units, positions).
        strength: per unit, the mean square of what it gives to the outputs (units,).
    """

    weights: Tensor
    inverse: Tensor
    strength: Tensor

    def errors(self) -> Tensor:
        """Rise of the outputs' mean squared error as each unit leaves and is folded: (units,)."""
        own = _own_blocks(self.inverse)
        if own.shape[1] == 1:
            return self.weights.square().sum((1, 2)) / own[:, 0, 0]
        solved: Tensor = torch.linalg.solve(own, self.weights)
        return (self.weights * solved).sum((1, 2))

    def remove(self, unit: int) -> None:
        """Fold one unit into those left."""
        units, positions, _ = self.weights.shape
        size = units * positions
        rows = self.inverse[:, :, unit].reshape(size, positions).clone()
        own = self.inverse[unit, :, unit].clone()
        shares = torch.linalg.solve(own, rows.T).T
        removed = self.weights[unit].clone()
        self.weights.view(size, -1).addmm_(shares, removed, alpha=-1)
        self.inverse.view(size, size).addmm_(shares, rows.T, alpha=-1)
        self.inverse[unit, :, unit] = torch.eye(positions, dtype=own.dtype)


def _readers(
    model: GraphModule, group: ChannelGroup, moments: Mapping[str, Moments]
) -> list[_Reader]:
    if group.free_runs or len(foldable(model, group)) < len(group.consumers):
        return []
    found = []
    for slot in group.consumers:
        positions = _positions(group, slot)
        if positions is None or slot.layer not in moments:
            return []
        weight = model.get_submodule(slot.layer).weight
        found.append(_reader(weight, moments[slot.layer], torch.tensor(positions)))
    return found


def _positions(group: ChannelGroup, slot: Slot) -> list[list[int]] | None:
    """Of each unit the positions in a consumer's inputs; none unless all have as many."""
    found: list[list[int]] = [[] for _ in range(group.units)]
    for position, channel in enumerate(slot.channel_of.tolist()):
        if channel >= 0:
            found[channel % group.units].append(position)
    sizes = {len(positions) for positions in found}
    return found if len(sizes) == 1 and 0 not in sizes else None


def _reader(weight: object, known: Moments, positions: Tensor) -> _Reader:
    assert isinstance(weight, torch.Tensor)
    units, each = positions.shape
    flat = positions.flatten()
    covariance = regularised(known, flat)
    weights = weight.to(covariance).movedim(1, 0).flatten(1)[flat].reshape(units, each, -1)
    blocks = _own_blocks(covariance.reshape(units, each, units, each))
    return _Reader(
        weights,
        torch.linalg.inv(covariance).reshape(units, each, units, each),
        (weights * (blocks @ weights)).sum((1, 2)),
    )


def _own_blocks(matrix: Tensor) -> Tensor:
    """Each unit with itself, (units, positions, positions), of a matrix over all of them."""
    return matrix.diagonal(dim1=0, dim2=2).permute(2, 0, 1)


def _rescored(scores: Tensor, group: ChannelGroup, readers: Sequence[_Reader]) -> Tensor:
    if not readers:
        return scores
    strength = torch.stack([reader.strength for reader in readers]).sum(0)
    if not strength.max() > LEAST_STRENGTH:
        return scores
    given = unit_scores(group, scores.to(strength))
    matters = (given / strength.clamp_min(LEAST_STRENGTH)) ** CRITERION_SHARE
    found, floor = torch.zeros_like(strength), 0.0
    left = torch.ones_like(strength, dtype=torch.bool)
    while left.any():
        costs = matters * torch.stack([reader.errors() for reader in readers]).sum(0)
        unit = int(costs.masked_fill(~left, math.inf).argmin())
        # Strictly rising, so that the order can be read from the scores.
        floor = max(float(costs[unit]), floor * (1 + 1e-9))
        found[unit] = floor
        left[unit] = False
        for reader in readers:
            reader.remove(unit)
    if not found.isfinite().all():
        raise ModelError("scores of channels are not finite", where=group.name)
    return (found / group.sub_groups).repeat(group.sub_groups)
