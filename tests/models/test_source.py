from __future__ import annotations

import ast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from edgespiral.core.errors import ModelError
from edgespiral.models.source import own_state, source_of

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
    nn.RNN(3, 4, nonlinearity="relu"),
    nn.Hardtanh(0, float("inf")),
    nn.Dropout(np.float64(0.1)),
    nn.Conv2d(np.int64(2), 4, 3, padding="same", padding_mode="reflect"),
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
    assert getattr(rebuilt, "mode", None) == getattr(layer, "mode", None)
    assert repr(rebuilt) == repr(layer)
    shapes = {name: value.shape for name, value in layer.state_dict().items()}
    assert {name: value.shape for name, value in rebuilt.state_dict().items()} == shapes


def test_what_others_left_in_a_layer_is_no_part_of_its_own_state():
    layer = nn.Conv2d(1, 2, 1)
    layer.register_buffer("total_ops", torch.zeros(1))
    assert own_state(layer) == {"weight", "bias"}


REFUSED = {
    "cannot write a TransformerEncoderLayer": nn.TransformerEncoderLayer(4, 2),
    "PairwiseDistance does not keep its p": nn.PairwiseDistance(1.0),
    "cannot write a ParametrizedLinear": weight_norm(nn.Linear(2, 2)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_layer_that_would_not_be_the_same_is_refused_by_name(reason):
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = REFUSED[reason]

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.layer(inputs, inputs) if "Distance" in reason else self.layer(inputs)

    with pytest.raises(ModelError, match=f"layer: {reason}"):
        source_of(torch.fx.symbolic_trace(Holder()))


def test_recurrent_nonlinearities_are_kept():
    holder = nn.Sequential(nn.RNN(3, 4, nonlinearity="relu"))
    assert "nn.RNN(input_size=3, hidden_size=4, nonlinearity='relu')" in source_of(
        torch.fx.symbolic_trace(holder)
    )


def test_a_value_that_is_not_plain_is_refused():
    layer = nn.Dropout()
    layer.p = torch.tensor(0.5)
    with pytest.raises(ModelError, match="0: p of Dropout is not a plain value"):
        source_of(torch.fx.symbolic_trace(nn.Sequential(layer)))
