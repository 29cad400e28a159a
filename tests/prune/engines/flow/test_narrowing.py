from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.groups import outputs_of


def test_the_parameters_that_stay_are_the_kept_units_rows_and_columns(sequence, tokens):
    model = sequence(nn.GRU)
    groups = groups_by_flow(model, tokens)
    everything = {group.name: list(range(group.channels)) for group in groups}
    cut = FlowCutter().cut(model, tokens, groups, {**everything, "rnn": [1, 5]})
    rows = [1, 5, 9, 13, 17, 21]
    assert torch.equal(cut.rnn.weight_hh_l0, model.rnn.weight_hh_l0[rows][:, [1, 5]])
    assert torch.equal(cut.rnn.bias_ih_l0, model.rnn.bias_ih_l0[rows])
    assert torch.equal(cut.hidden.weight, model.hidden.weight[:, [1, 5]])
    assert cut.rnn.weight_ih_l0.requires_grad
    assert (model.rnn.hidden_size, cut.rnn.hidden_size) == (8, 2)


def test_keeping_everything_changes_nothing(spectral):
    example = torch.randn(1, 1, 8, 10)
    groups = groups_by_flow(spectral, example)
    kept = {group.name: list(range(group.channels)) for group in groups}
    cut = FlowCutter().cut(spectral, example, groups, kept)
    assert torch.equal(cut(example), spectral(example))


def test_removing_every_unit_is_refused(sequence, tokens):
    model = sequence(nn.LSTM)
    groups = groups_by_flow(model, tokens)
    kept = {group.name: [] for group in groups}
    with pytest.raises(ModelError, match="cannot remove every channel"):
        FlowCutter().cut(model, tokens, groups, kept)


def test_the_width_of_a_layers_outputs():
    assert outputs_of(nn.LSTM(3, 4, bidirectional=True)) == 8
    assert outputs_of(nn.Embedding(20, 6)) == 6
    assert outputs_of(nn.Linear(3, 5)) == 5
    assert outputs_of(nn.ReLU()) is None
