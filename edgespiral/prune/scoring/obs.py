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
from dataclasses import dataclass, field
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
# How many units leave between two times that all of a consumer's matrices are brought up to date.
GATHERED = 48


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

    Units have as many positions each, and n is how many there are in all. Whatever leaves changes
    all of an (n, n) matrix, and most of that is never looked at: the units' own blocks are, at
    each step, and the columns of what leaves. So changes are gathered, and made together.

    Attributes:
        inverse: of the inputs' covariance (n, n), as it was before the changes that are gathered.
        gram: of the weights by which inputs are read, (n, n), likewise.
        strength: per unit, the mean square of what it gives to the outputs (units,).
    """

    inverse: Tensor
    gram: Tensor
    strength: Tensor
    _own_inverse: Tensor = field(init=False)
    _own_gram: Tensor = field(init=False)
    # Of those gathered, in rows of n: inverse - shares' columns, gram - shares' halves - halves'
    # shares. All three matrices are symmetric.
    _shares: Tensor = field(init=False)
    _columns: Tensor = field(init=False)
    _halves: Tensor = field(init=False)
    _gathered: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Take out each unit's own blocks, (units, positions, positions)."""
        units, size = len(self.strength), len(self.inverse)
        self._own_inverse = _own_blocks(self.inverse, units).clone()
        self._own_gram = _own_blocks(self.gram, units).clone()
        rows = GATHERED * (size // units)
        self._shares, self._columns, self._halves = self.inverse.new_empty(3, rows, size)

    def errors(self) -> Tensor:
        """Rise of the outputs' mean squared error as each unit leaves and is folded: (units,)."""
        if self._own_inverse.shape[1] == 1:
            return (self._own_gram / self._own_inverse).flatten()
        solved: Tensor = torch.linalg.solve(self._own_inverse, self._own_gram)
        return solved.diagonal(dim1=1, dim2=2).sum(1)

    def remove(self, unit: int) -> None:
        """Fold one unit into those left."""
        positions, before = self._own_inverse.shape[1], self._gathered
        at = slice(unit * positions, (unit + 1) * positions)
        shares, columns, halves = self._changes
        column = self.inverse[at] - shares[:, at].T @ columns
        gram = self.gram[at] - shares[:, at].T @ halves - halves[:, at].T @ shares
        share = torch.linalg.solve(column[:, at], column)
        half = gram - gram[:, at] @ share / 2
        self._gathered += positions
        for gathered, rows in zip(self._changes, (share, column, half), strict=True):
            gathered[before:] = rows
        self._own_inverse -= _own_products(share, column)
        products = _own_products(share, half)
        self._own_gram -= products + products.mT
        self._own_inverse[unit] = torch.eye(positions, dtype=column.dtype)
        if self._gathered == len(self._shares):
            self._make_changes()

    @property
    def _changes(self) -> tuple[Tensor, Tensor, Tensor]:
        count = self._gathered
        return self._shares[:count], self._columns[:count], self._halves[:count]

    def _make_changes(self) -> None:
        shares, columns, halves = self._changes
        self.inverse.addmm_(shares.T, columns, alpha=-1)
        self.gram.addmm_(shares.T, halves, alpha=-1).addmm_(halves.T, shares, alpha=-1)
        self._gathered = 0


def _readers(
    model: GraphModule, group: ChannelGroup, moments: Mapping[str, Moments]
) -> list[_Reader]:
    if group.free_runs or len(foldable(model, group)) < len(group.consumers):
        return []
    readers = []
    for slot in group.consumers:
        positions = _positions(group, slot)
        if positions is None or slot.layer not in moments:
            return []
        weight = model.get_submodule(slot.layer).weight
        readers.append(_reader(weight, moments[slot.layer], torch.tensor(positions)))
    return readers


def _positions(group: ChannelGroup, slot: Slot) -> list[list[int]] | None:
    """Of each unit the positions in a consumer's inputs; none unless all have as many."""
    by_unit: list[list[int]] = [[] for _ in range(group.units)]
    for position, channel in enumerate(slot.channel_of.tolist()):
        if channel >= 0:
            by_unit[channel % group.units].append(position)
    sizes = {len(positions) for positions in by_unit}
    return by_unit if len(sizes) == 1 and 0 not in sizes else None


def _reader(weight: object, moments: Moments, positions: Tensor) -> _Reader:
    assert isinstance(weight, torch.Tensor)
    flat, units = positions.flatten(), len(positions)
    covariance = regularised(moments, flat)
    weights = weight.to(covariance).movedim(1, 0).flatten(1)[flat]
    gram = weights @ weights.T
    blocks = _own_blocks(covariance, units) * _own_blocks(gram, units)
    return _Reader(torch.linalg.inv(covariance), gram, blocks.sum((1, 2)))


def _own_blocks(matrix: Tensor, units: int) -> Tensor:
    """Each unit with itself, (units, positions, positions), of a matrix over all of them."""
    blocks = matrix.reshape(units, len(matrix) // units, units, -1)
    return blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)


def _own_products(left: Tensor, right: Tensor) -> Tensor:
    """Each unit's own blocks, (units, positions, positions), of the product of (positions, n)."""
    positions = len(left)
    if positions == 1:
        return (left * right).view(-1, 1, 1)
    first, second = (rows.view(positions, -1, positions) for rows in (left, right))
    return torch.einsum("kup,kuq->upq", first, second)


def _rescored(scores: Tensor, group: ChannelGroup, readers: Sequence[_Reader]) -> Tensor:
    if not readers:
        return scores
    strength = torch.stack([reader.strength for reader in readers]).sum(0)
    if not strength.max() > LEAST_STRENGTH:
        return scores
    of_criterion = unit_scores(group, scores.to(strength))
    matters = (of_criterion / strength.clamp_min(LEAST_STRENGTH)) ** CRITERION_SHARE
    rescored, floor = torch.zeros_like(strength), 0.0
    remains = torch.ones_like(strength, dtype=torch.bool)
    while remains.any():
        costs = matters * torch.stack([reader.errors() for reader in readers]).sum(0)
        unit = int(costs.masked_fill(~remains, math.inf).argmin())
        # Strictly rising, so that the order can be read from the scores.
        floor = max(float(costs[unit]), floor * (1 + 1e-9))
        rescored[unit] = floor
        remains[unit] = False
        for reader in readers:
            reader.remove(unit)
    if not rescored.isfinite().all():
        raise ModelError("scores of channels are not finite", where=group.name)
    return (rescored / group.sub_groups).repeat(group.sub_groups)
