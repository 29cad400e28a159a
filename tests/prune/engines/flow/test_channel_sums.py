from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.channel_sums import sums_as_layers
from edgespiral.prune.prunable import PrunableModel, cut_to


class Responses(nn.Module):
    """Global response norm (Woo et al. 2023, "ConvNeXt V2")."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(1, channels, 1, 1))

    def forward(self, x):
        size = x.norm(p=2, dim=(2, 3), keepdim=True)
        return x + self.scale * (x * (size / (size.mean(dim=1, keepdim=True) + 1e-6)))


class SpeltOut(nn.Module):
    """A layer norm of pictures, written by hand."""

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        return (x - mean) / ((x - mean).pow(2).mean(1, keepdim=True) + 1e-6).sqrt()


class Lengths(nn.Module):
    """Divides by the length of each position's channels, which it sums in two ways."""

    def forward(self, x):
        return x / x.norm(dim=1, keepdim=True) + x * x.sum((1, 2, 3))[:, None, None, None]


# The reciprocal of 10 is no number of single precision.
@pytest.mark.parametrize("channels", [8, 10])
@pytest.mark.parametrize("kind", [Responses, SpeltOut, Lengths])
def test_what_sums_over_channels_lets_them_go(kind, channels):
    torch.manual_seed(0)
    normalise = kind(channels) if kind is Responses else kind()
    model = nn.Sequential(nn.Conv2d(3, channels, 1), normalise, nn.Conv2d(channels, 3, 1)).eval()
    source = PrunableModel.of(trace(model), (3, 5, 5))
    assert [(group.name, group.channels) for group in source.groups] == [("0", channels)]
    inputs = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(source.model(inputs), model(inputs))
    cut = cut_to(source, {"0": 4}, {"0": torch.rand(channels)}, "auto")
    assert cut.difference < 1e-9
    sums = [n for n, _ in cut.model.named_parameters() if n.endswith("_over_channels.weight")]
    assert sums
    assert not any(cut.model.get_parameter(name).requires_grad for name in sums)
    assert all(p.requires_grad for n, p in cut.model.named_parameters() if n not in sums)


def test_a_sum_that_is_no_layer_stays():
    graph = trace(nn.Sequential(nn.Conv2d(3, 8, 1), Lengths()))
    places = {n.name: 1 for n in graph.graph.nodes if n.target == "reshape"}
    assert sums_as_layers(graph, torch.randn(1, 3, 5, 5), places).code == graph.code
