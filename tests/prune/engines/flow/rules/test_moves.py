from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.rules.moves import dims_of
from edgespiral.prune.prunable import PrunableModel, cut_to

PARTS = {
    "slices": lambda x: torch.cat([x[:, :2].relu(), x[:, 2:6], x[..., -2:, :, :]], 1),
    "split": lambda x: torch.cat([torch.split(x, [2, 6], 1)[i].relu() for i in (1, 0)], 1),
    "narrow": lambda x: torch.cat([x.narrow(1, 0, 4).relu(), x.narrow(1, 4, 4)], 1),
    "split of another dimension": lambda x: torch.cat([x.split(2, 2)[i] for i in (1, 0)], 2),
    "unbind of another dimension": lambda x: torch.stack([x.unbind(3)[i] for i in (2, 0, 1, 3)], 3),
    "view_as": lambda x: x.flatten(2).view_as(x) + x.flatten(2).reshape_as(x.relu()),
    "expand": lambda x: x + x.mean((2, 3), keepdim=True).expand(-1, 8, 4, 4),
    "glu": lambda x: F.glu(torch.cat([x, x.relu()], 1), 1),
    "pixel shuffle": lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2),
    "unflatten": lambda x: x.flatten(1).unflatten(1, (8, 4, 4)),
}


class Between(nn.Module):
    """An operation between two convolutions."""

    def __init__(self, operation):
        super().__init__()
        self.first, self.second, self.operation = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1), operation

    def forward(self, x):
        return self.second(self.operation(self.first(x)))


@pytest.mark.parametrize("name", PARTS)
def test_what_moves_or_takes_channels_is_cut_with_them(name):
    torch.manual_seed(0)
    source = PrunableModel.of(trace(Between(PARTS[name]).eval()), (3, 4, 4))
    widths = {g.name: g.sub_groups * (g.units // 2) for g in source.groups}
    assert sum(widths.values()) == 4
    for seed in range(3):
        seeded = torch.Generator().manual_seed(seed)
        scores = {g.name: torch.rand(g.channels, generator=seeded) for g in source.groups}
        cut = cut_to(source, widths, scores, "flow")
        assert cut.difference < 1e-9
        assert cut.model.get_submodule("first").out_channels == 4


def test_dimensions_are_counted_from_the_first():
    assert dims_of(-1, torch.zeros(2, 3)) == (1,)
    assert dims_of((0, -2), torch.zeros(2, 3)) == (0, 0)
