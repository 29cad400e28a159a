"""Heads that a grouped convolution mixes each for itself, as EfficientViT's (Cai et al. 2023)."""

from __future__ import annotations

import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel, cut_to


class GroupedHeads(nn.Module):
    """Four heads of queries, keys and values, again through a convolution with a group each."""

    def __init__(self) -> None:
        super().__init__()
        self.inlet, self.qkv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 48, 1)
        self.again = nn.Conv2d(48, 48, 3, padding=1, groups=12)
        self.proj, self.head = nn.Conv2d(32, 8, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(self.inlet(x))
        heads = torch.cat([qkv, self.again(qkv)], 1).reshape(len(x), -1, 12, 16)
        q, k, v = heads.chunk(3, dim=2)
        seen = q.relu() @ (k.relu().transpose(-2, -1) @ v)
        return self.head(self.proj(seen.reshape(len(x), -1, 4, 4)))


def test_whole_groups_leave_where_the_same_places_of_each_would_be_all() -> None:
    torch.manual_seed(0)
    source = PrunableModel.of(trace(GroupedHeads().eval(), torch.randn(4, 3, 4, 4)), (3, 4, 4))
    units = {group.name: group.units for group in source.groups}
    assert units == {"inlet": 8, "qkv": 4, "proj": 8}
    widths = {g.name: g.sub_groups * (g.units // 2) for g in source.groups}
    cut = cut_to(source, widths, {g.name: torch.rand(g.channels) for g in source.groups}, "auto")
    assert cut.difference < 1e-9
    again = cut.model.get_submodule("again")
    assert (again.groups, again.out_channels) == (6, 24)
