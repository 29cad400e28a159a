"""Layers called what no attribute can be called are traced, saved and loaded."""

import pytest
import torch
from torch import nn

from edgespiral.models.saved import load_model, save_model, trace

NAMES = [
    "class",
    "None",
    "a b",
    'a"b',
    "it's",
    "new\nline",
    "back\\n",
    "gr\u00f6\u00dfe",
    "\ufb01",
    "{x}",
]


class Named(nn.Module):
    """A head that lies in a dictionary."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.heads = nn.ModuleDict({name: nn.Sequential(nn.Flatten(), nn.Linear(144, 3))})

    def forward(self, x):
        return next(iter(self.heads.values()))(self.stem(x).relu())


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_may_be_called_anything(name, tmp_path):
    torch.manual_seed(0)
    inputs, net = torch.randn(2, 1, 8, 8), Named(name).eval()
    graph = trace(net, inputs)
    save_model(graph, tmp_path)
    again = load_model(tmp_path)
    assert again.state_dict().keys() == net.state_dict().keys()
    assert torch.allclose(again(inputs), net(inputs), atol=1e-6)
