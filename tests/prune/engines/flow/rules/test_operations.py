from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.prune.engines.flow.follow import follow
from edgespiral.prune.engines.flow.labels import FROZEN

MODES = {
    "relu": lambda x: x.relu(),
    "scalar": lambda x: 2 * x + 1,
    "pool": lambda x: F.adaptive_avg_pool2d(x, 2),
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "there and back": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "padded": lambda x: F.pad(x, (1, 1, 0, 2)),
    "cropped": lambda x: x[..., 1:3, ::2],
    "rolled": lambda x: torch.roll(x, (1, 1), (2, 3)),
    "doubled": lambda x: torch.cat([x, x], 2),
    "broadcast": lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
    "product": lambda x: torch.matmul(x, x.transpose(2, 3)),
    "einsum": lambda x: torch.einsum("b c h w, b c k w -> b c h k", x, x),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "constant": lambda x: x + torch.ones(6, 1, 1),
    "power": lambda x: x**2 + x.pow(2).sqrt(),
    "where": lambda x: torch.where(x > 0, x, x.exp()),
    "clamped": lambda x: x.clamp(min=0).clip(0, 6).masked_fill(x < 0, 0.5),
    "like": lambda x: x * torch.ones_like(x) + x.mean((2, 3), keepdim=True).expand_as(x),
    "everything": lambda x: x[:, :6, :, :][:, 0:],
    "halves": lambda x: torch.cat([x[:, :2], x[:, 2:]], 1),
    "narrowed": lambda x: torch.cat([x.narrow(1, 0, 2), x.narrow(1, 2, 4)], 1),
    "repeated": lambda x: x.repeat(1, 1, 2, 1),
    "squeezed": lambda x: x.unsqueeze(1).squeeze(1),
    "resized": lambda x: F.interpolate(x, scale_factor=2),
    "turned": lambda x: x.mT.flip(2),
    "largest": lambda x: x.max(2, keepdim=True)[0] + x.amax((2, 3), keepdim=True),
    "found": lambda x: x.max(2, keepdim=True).values,
    "einsum with a transpose": lambda x: torch.einsum("bchw,bckw->bchk", x, x),
}
FREEZING = {
    "unknown": lambda x: torch.cdist(x, x),
    "softmax": lambda x: F.softmax(x, dim=1),
    "sum": lambda x: x.sum(1, keepdim=True).expand(-1, 6, -1, -1),
    "rolled": lambda x: torch.roll(x, 1, 1),
    "padded": lambda x: F.pad(x, (0, 0, 0, 0, 0, 2))[:, :6],
    "counted": lambda x: x + torch.arange(6)[:, None, None],
    "accumulated": lambda x: x.cumsum(1),
    "every second": lambda x: torch.cat([x[:, ::2], x[:, 1::2]], 1),
    "sorted": lambda x: x.sort(1)[0],
    "one by one": lambda x: torch.stack(x.unbind(1), 1),
    "compared": lambda x: x * x.max(1, keepdim=True)[0],
}


class Between(nn.Module):
    """An operation between two layers."""

    def __init__(self, operation) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 6, 1)
        self.two = nn.Conv2d(6, 2, 1)
        self.operation = operation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.two(self.operation(self.one(inputs)))


def between(operation):
    return follow(torch.fx.symbolic_trace(Between(operation)), torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize("name", MODES)
def test_channels_are_followed_through(name):
    flow = between(MODES[name])
    assert torch.equal(flow.writes["one"], flow.reads["two"])
    assert len(set(flow.writes["one"].tolist()) - {FROZEN}) == 6


@pytest.mark.parametrize("name", FREEZING)
def test_what_would_change_is_frozen(name):
    assert set(between(FREEZING[name]).writes["one"].tolist()) == {FROZEN}


def test_a_channel_that_is_read_at_many_places_is_seen_at_each():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    flow = follow(torch.fx.symbolic_trace(model), torch.randn(1, 3, 2, 2))
    first, second = flow.writes["0"].tolist()
    assert flow.reads["2"].tolist() == [first] * 4 + [second] * 4


def test_a_parameter_that_is_added_is_tied_element_by_element(named, example):
    model = named("convnext")
    flow = follow(model, example)
    scale = flow.parameters["features.1.0.layer_scale"].flatten()
    assert torch.equal(scale, flow.writes["features.1.0.block.5"])
