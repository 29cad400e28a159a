from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.distill.fuse import for_inference


class Net(nn.Module):
    """A convolution and its batch norm, called as often as asked, and an activation twice."""

    def __init__(self, times):
        super().__init__()
        self.times = times
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.relu = nn.ReLU()

    def forward(self, inputs):
        for _ in range(self.times):
            inputs = self.norm(self.conv(inputs))
        return self.relu(self.relu(inputs)).flatten(1)


@pytest.fixture
def inputs():
    return torch.randn(16, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def trained(times, inputs):
    torch.manual_seed(0)
    net = Net(times)
    net.norm.weight.data.uniform_(0.5, 2.0)
    for _ in range(20):
        net(3.0 + 2.0 * inputs)
    return net.eval()


def norms(model):
    return [node for node in model.graph.nodes if node.target == "norm"]


@pytest.mark.parametrize(("times", "left"), [(1, 0), (2, 2)])
def test_batch_norms_go_into_layers_that_are_called_once(inputs, times, left):
    net = torch.fx.symbolic_trace(trained(times, inputs)).eval()
    asked = for_inference(net)
    assert len(norms(asked)) == left
    assert len(norms(net)) == times
    assert torch.allclose(asked(inputs), net(inputs), atol=1e-5)


def test_an_untraced_model_is_left_as_it_is(inputs):
    net = trained(1, inputs)
    assert for_inference(net) is net
