from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

from edgespiral.core.codegen import source_of

LAYERS = [
    nn.Conv2d(2, 4, (3, 1), stride=2, padding=(1, 0), groups=2, bias=False),
    nn.ConvTranspose2d(2, 4, 3, output_padding=1, stride=2),
    nn.BatchNorm2d(4, eps=1e-3, momentum=None, affine=False),
    nn.GroupNorm(2, 4),
    nn.LayerNorm([4, 4], bias=False),
    nn.Linear(3, 5, bias=False),
    nn.Dropout(0.25),
    nn.AdaptiveAvgPool2d((1, None)),
    nn.MaxPool2d(3, stride=2, ceil_mode=True),
    nn.Upsample(scale_factor=2.0, mode="bilinear"),
    nn.GELU(approximate="tanh"),
    nn.Hardswish(inplace=True),
    nn.Softmax(dim=1),
    nn.PReLU(4),
    nn.Embedding(5, 3),
    nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True),
    nn.GRU(3, 4, bias=False),
    nn.MultiheadAttention(4, 2, bias=False, batch_first=True),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_layer_is_rebuilt_with_the_arguments_it_had(layer):
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.layer(inputs)

    source = source_of(torch.fx.symbolic_trace(Holder()))
    names: dict[str, object] = {"__file__": __file__}
    exec(compile(ast.parse(source), "model.py", "exec"), names)
    rebuilt = names["Model"]().layer
    assert repr(rebuilt) == repr(layer)
    shapes = {name: value.shape for name, value in layer.state_dict().items()}
    assert {name: value.shape for name, value in rebuilt.state_dict().items()} == shapes
