from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.unstack import directions, recurrent_layers, unstacked


class States(nn.Module):
    """Reads final states in the ways that people do."""

    def __init__(self, kind, layers, read, **options):
        super().__init__()
        self.rnn = kind(5, 4, layers, batch_first=True, bidirectional=True, **options)
        self.read = read

    def forward(self, inputs):
        state = self.rnn(inputs)[1]
        return self.read(state[0] if isinstance(self.rnn, nn.LSTM) else state)


READS = {
    "last": lambda state: state[-1],
    "first layer": lambda state: state[1],
    "last layer": lambda state: state[-2:].transpose(0, 1).flatten(1),
    "half a layer and more": lambda state: state[-3:].transpose(0, 1).flatten(1),
    "all": lambda state: state.transpose(0, 1).flatten(1),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, partial(nn.RNN, nonlinearity="relu")])
def test_a_chain_of_layers_computes_what_the_stack_did(kind, read):
    model = States(kind, 3, read).eval()
    inputs = torch.randn(2, 6, 5)
    chain = unstacked(trace(model))
    assert torch.allclose(chain(inputs), model(inputs), atol=1e-6)
    assert all(layer.num_layers == 1 for layer in recurrent_layers(chain).values())


def test_layers_keep_their_parameters_and_dropout_between_them():
    model = States(nn.LSTM, 2, READS["last"], dropout=0.5)
    chain = unstacked(trace(model))
    assert list(recurrent_layers(chain)) == ["rnn.l0", "rnn.l1"]
    assert chain.rnn.l1.weight_hh_l0_reverse is model.rnn.weight_hh_l1_reverse
    assert chain.rnn.dropout0.p == 0.5
    inputs = torch.randn(2, 6, 5)
    assert not torch.equal(chain.train()(inputs), chain(inputs))


def test_a_model_without_stacks_is_left_alone():
    traced = trace(States(nn.GRU, 1, READS["last"]))
    code = traced.code
    assert unstacked(traced) is traced
    assert traced.code == code
    assert directions(traced.rnn) == 2


class Started(nn.Module):
    """A stack with an initial state of its own."""

    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.randn(2, 1, 8))
        self.rnn = nn.GRU(5, 8, 2)

    def forward(self, inputs):
        return self.rnn(inputs, self.start.expand(-1, inputs.shape[1], -1))[0].mean(0)


class Whole(nn.Module):
    """Hands the pair that a stack returns on as it is."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(5, 8, 2)

    def forward(self, inputs):
        return self.rnn(inputs)


def projected():
    return States(nn.LSTM, 2, READS["last"], proj_size=3)


@pytest.mark.parametrize("make", [Started, Whole, projected])
def test_stacks_that_are_called_otherwise_stay_as_they_are(make):
    traced = trace(make())
    assert unstacked(traced).rnn.num_layers == 2
