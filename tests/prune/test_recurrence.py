from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from edgespiral.prune.recurrence import gated_recurrence

KINDS = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN": nn.RNN,
    "RNN of ReLU": partial(nn.RNN, nonlinearity="relu"),
}
CASES = [
    pytest.param(kind, bidirectional, bias, id=f"{name}-{bidirectional}-{bias}")
    for name, kind in KINDS.items()
    for bidirectional in (False, True)
    for bias in (False, True)
]


def layer_of(kind, bidirectional, bias, batch_first=True):
    torch.manual_seed(0)
    options = {"bidirectional": bidirectional, "bias": bias, "batch_first": batch_first}
    return kind(5, 4, **options).double()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("kind", "bidirectional", "bias"), CASES)
def test_open_gates_give_the_layers_own_outputs(kind, bidirectional, bias, batch_first):
    layer = layer_of(kind, bidirectional, bias, batch_first)
    inputs = torch.randn(3, 7, 5, dtype=torch.float64)
    units = 4 * (1 + bidirectional)
    torch.testing.assert_close(gated_recurrence(layer, inputs, torch.ones(1, units)), layer(inputs))


@pytest.mark.parametrize(("kind", "bidirectional", "bias"), CASES)
def test_a_closed_gate_is_a_column_of_zeros(kind, bidirectional, bias):
    layer = layer_of(kind, bidirectional, bias)
    inputs = torch.randn(3, 7, 5, dtype=torch.float64)
    gate = torch.ones(1, 4 * (1 + bidirectional))
    gate[:, 1] = 0
    found, _ = gated_recurrence(layer, inputs, gate)
    with torch.no_grad():
        layer.weight_hh_l0[:, 1] = 0
    torch.testing.assert_close(found, layer(inputs)[0])


def test_each_sample_has_its_own_gate():
    layer = layer_of(nn.GRU, bidirectional=False, bias=True)
    inputs = torch.randn(2, 7, 5, dtype=torch.float64)
    gate = torch.ones(2, 4, requires_grad=True)
    outputs, _ = gated_recurrence(layer, inputs, gate)
    (gradient,) = torch.autograd.grad(outputs[0].sum(), gate)
    assert gradient[0].abs().min() > 0
    assert gradient[1].abs().max() == 0
