from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.groups import ChannelGroup, Slot, find_groups
from edgespiral.prune.scoring.nni_scores import layer_metrics
from edgespiral.prune.scoring.norms import NORMS, unit_norms


def test_a_units_norm_is_of_all_its_gates(sequence, tokens):
    model = sequence(nn.LSTM, bidirectional=True)
    with torch.no_grad():
        for name, parameter in model.rnn.named_parameters():
            parameter.fill_(2.0 if name.endswith("reverse") else 1.0)
    norms = unit_norms("L1NormPruner", model, groups_by_flow(model, tokens))
    # Four gates, each with 12 inputs and 8 hidden units.
    assert norms["rnn"].tolist() == [80.0] * 8 + [160.0] * 8
    assert torch.allclose(norms["embed"], model.embed.weight.abs().sum(0))


@pytest.mark.parametrize("pruner", NORMS)
def test_they_are_what_nni_takes_of_other_layers(pruner):
    linear = nn.Linear(6, 5)
    net = nn.Sequential(linear, nn.ReLU(), nn.Linear(5, 2))
    groups = find_groups(trace(net), torch.randn(1, 6))
    theirs = layer_metrics(pruner, trace(net), groups)["0"]
    embedding = nn.Embedding(6, 5, _weight=linear.weight.detach().T.clone())
    slot = Slot("0", torch.arange(5))
    group = ChannelGroup("0", 5, 1, (slot,), ())
    ours = unit_norms(pruner, nn.Sequential(embedding), [group])["0"]
    assert torch.allclose(ours, theirs, rtol=1e-4)


def test_a_transposed_convolutions_norms_are_of_its_output_channels():
    layer = nn.ConvTranspose2d(4, 6, 1, groups=2)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, 13.0).view(4, 3, 1, 1))
    slot = Slot("0", torch.arange(6))
    group = ChannelGroup("0", 6, 1, (slot,), ())
    norms = unit_norms("L1NormPruner", nn.Sequential(layer), [group])
    # Of each half of the inputs, column by column.
    assert norms["0"].tolist() == [1 + 4, 2 + 5, 3 + 6, 7 + 10, 8 + 11, 9 + 12]
