from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel, cut_to


class Attention(nn.Module):
    """Heads on one dimension; queries, keys and values along another."""

    def __init__(self, heads, product):
        super().__init__()
        self.heads, self.product = heads, product
        self.inlet, self.qkv = nn.Linear(6, 16), nn.Linear(16, 48)
        self.proj, self.head = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x):
        n, length, _ = x.shape
        qkv = self.qkv(self.inlet(x)).reshape(n, length, self.heads, 48 // self.heads)
        q, k, v = qkv.permute(0, 2, 1, 3).split([16 // self.heads] * 3, dim=3)
        seen = self.product(q, k, v).transpose(1, 2).reshape(n, length, 16)
        return self.head(self.proj(seen).mean(1))


PRODUCTS = {
    "operators": lambda q, k, v: (q @ k.transpose(-2, -1)).softmax(-1) @ v,
    "function": F.scaled_dot_product_attention,
    "with a bias": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, torch.zeros(5, 5)),
    "einsum": lambda q, k, v: torch.einsum(
        "bhqk,bhkd->bhqd", torch.einsum("bhqd,bhkd->bhqk", q, k).softmax(-1), v
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_heads_leave_whole(name):
    torch.manual_seed(0)
    source = PrunableModel.of(trace(Attention(4, PRODUCTS[name]).eval()), (5, 6))
    (heads,) = [group for group in source.groups if group.name == "qkv"]
    assert (heads.units, heads.sub_groups) == (4, 12)
    widths = {g.name: g.sub_groups * (g.units // 2) for g in source.groups}
    cut = cut_to(source, widths, {g.name: torch.rand(g.channels) for g in source.groups}, "auto")
    assert cut.difference < 1e-9
    assert cut.model.get_submodule("qkv").out_features == 24


def test_a_single_head_keeps_its_scores_and_loses_values():
    torch.manual_seed(0)
    source = PrunableModel.of(trace(Attention(1, PRODUCTS["operators"]).eval()), (5, 6))
    (values,) = [group for group in source.groups if group.name == "qkv"]
    assert values.channels == 16
    cut = cut_to(
        source,
        {g.name: g.channels // 2 for g in source.groups},
        {g.name: torch.rand(g.channels) for g in source.groups},
        "auto",
    )
    assert cut.difference < 1e-9
    assert cut.model.get_submodule("qkv").out_features == 16 + 16 + 8
    assert "weigh all" in source.uncuttable["qkv"][1]


class Rotated(nn.Module):
    """Heads that are turned by position, each with frequencies of its own (Heo et al. 2024)."""

    def __init__(self):
        super().__init__()
        self.inlet, self.qkv = nn.Linear(6, 16), nn.Linear(16, 48)
        self.proj, self.head = nn.Linear(16, 16), nn.Linear(16, 3)
        self.frequencies = nn.Parameter(torch.rand(4, 4))
        self.register_buffer("steps", torch.arange(5.0))

    def forward(self, x):
        parted = self.qkv(self.inlet(x)).reshape(-1, 5, 3, 4, 4).permute(2, 0, 3, 1, 4)
        turns = (self.steps[:, None] * self.frequencies[:, None]).cos()
        q, k, v = parted[0] * turns, parted[1] * turns, parted[2]
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, 5, 16)
        return self.head(self.proj(seen).mean(1))


def test_heads_leave_with_their_rows_of_an_outer_product():
    torch.manual_seed(0)
    source = PrunableModel.of(trace(Rotated().eval(), torch.randn(4, 5, 6)), (5, 6))
    assert {g.name: g.units for g in source.groups} == {"inlet": 16, "qkv": 4, "proj": 16}
    widths = {g.name: g.sub_groups * (g.units // 2) for g in source.groups}
    cut = cut_to(source, widths, {g.name: torch.rand(g.channels) for g in source.groups}, "auto")
    assert cut.difference < 1e-9
    assert cut.model.frequencies.shape == (2, 4)
