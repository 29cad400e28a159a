from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.models.saved import trace
from edgespiral.prune.engines.base import Removal, check_cut
from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.finder import groups_by_flow, survey_by_flow
from edgespiral.prune.scoring.select import keep_best
from edgespiral.prune.unstack import unstacked

KINDS = [nn.LSTM, nn.GRU, nn.RNN]


def half_of(groups, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in groups}
    return keep_best(groups, scores, {g.name: g.sub_groups * (g.units // 2) for g in groups})


def cut_in_half(model, example):
    groups = groups_by_flow(model, example)
    kept = half_of(groups)
    return FlowCutter().cut(model, example, groups, kept), Removal(groups, kept)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("kind", KINDS)
def test_removed_units_leave_the_masked_models_function(
    kind, bidirectional, layers, sequence, tokens
):
    model = unstacked(sequence(kind, bidirectional=bidirectional, num_layers=layers))
    cut, removal = cut_in_half(model, tokens)
    inputs = torch.randint(0, 20, (4, 11))
    assert check_cut(model, cut, inputs, removal) < 1e-12
    own = [m for m in cut.modules() if isinstance(m, kind)]
    assert [m.hidden_size for m in own] == [4] * layers
    assert cut.get_submodule("embed").weight.shape == (20, 6)
    assert len(removal.groups) == layers + 2


@pytest.mark.parametrize("read", ["mean", "max", "each", "last"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_reads_the_outputs_is_followed(kind, batch_first, read, sequence, tokens):
    options = {"bidirectional": True, "num_layers": 2, "batch_first": batch_first}
    model = unstacked(sequence(kind, read, **options))
    cut, removal = cut_in_half(model, tokens)
    assert check_cut(model, cut, torch.randint(0, 20, (4, 11)), removal) < 1e-12
    assert cut.get_submodule("hidden").in_features == 8


def test_convolutions_before_a_recurrent_layer_are_cut_with_it(spectral):
    example = torch.randn(1, 1, 8, 10)
    cut, removal = cut_in_half(spectral, example)
    assert check_cut(spectral, cut, torch.randn(3, 1, 8, 10), removal) < 1e-12
    assert [g.name for g in removal.groups] == ["conv", "gru"]
    assert cut.gru.input_size == 3 * 4
    assert cut.depthwise.groups == 3


def test_each_direction_chooses_its_own_units(sequence, tokens):
    model = sequence(nn.LSTM, bidirectional=True)
    groups = groups_by_flow(model, tokens)
    (group,) = [group for group in groups if group.name == "rnn"]
    assert (group.channels, group.sub_groups, group.free_runs) == (16, 2, True)
    scores = torch.tensor([9.0, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8, 9])
    assert keep_best([group], {"rnn": scores}, {"rnn": 4}) == {"rnn": [0, 1, 14, 15]}


def test_the_check_catches_other_units(sequence, tokens):
    model = sequence(nn.GRU)
    groups = groups_by_flow(model, tokens)
    cut = FlowCutter().cut(model, tokens, groups, half_of(groups, seed=0))
    with pytest.raises(ModelError, match="differ by"):
        check_cut(model, cut, tokens, Removal(groups, half_of(groups, seed=1)))


class Summed(nn.Module):
    """Adds the two directions, so that a forward unit leaves with its backward one."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(5, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(6, 3)

    def forward(self, inputs):
        _, state = self.rnn(inputs)
        return self.head(state[0] + state[1])


def test_directions_that_are_added_lose_the_same_units():
    model = trace(Summed())
    cut, removal = cut_in_half(model, torch.randn(1, 9, 5))
    assert not removal.groups[0].free_runs
    assert check_cut(model, cut, torch.randn(4, 9, 5), removal) < 1e-12


class Residual(nn.Module):
    """Adds a recurrent layer's outputs to its inputs; mixes frames by attention over time."""

    def __init__(self):
        super().__init__()
        self.inlet = nn.Linear(5, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.score = nn.Linear(8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, inputs):
        frames = self.inlet(inputs)
        frames = frames + self.rnn(frames)[0]
        return self.head((self.score(frames).softmax(1) * frames).sum(1))


def test_an_addition_couples_a_recurrent_layer_with_others():
    model = trace(Residual())
    cut, removal = cut_in_half(model, torch.randn(1, 9, 5))
    (group,) = removal.groups
    assert {slot.layer for slot in group.producers} == {"inlet", "rnn"}
    assert check_cut(model, cut, torch.randn(4, 9, 5), removal) < 1e-12
    assert (cut.rnn.input_size, cut.rnn.hidden_size) == (4, 4)


class Sliced(nn.Module):
    """Takes the directions apart at a place that is written into its forward."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.rnn = nn.LSTM(6, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, tokens):
        outputs, _ = self.rnn(self.embed(tokens))
        return self.head(torch.cat([outputs[:, -1, :8], outputs[:, 0, 8:]], 1))


def test_a_size_that_is_written_into_the_forward_follows_the_cut(tokens):
    model = trace(Sliced())
    cut, removal = cut_in_half(model, tokens)
    assert [group.name for group in removal.groups] == ["embed", "rnn"]
    assert check_cut(model, cut, torch.randint(0, 20, (4, 9)), removal) < 1e-12
    assert (cut.rnn.hidden_size, cut.head.in_features) == (4, 8)


def test_what_reaches_the_output_stays_and_the_reason_is_told(tokens):
    survey = survey_by_flow(trace(Sliced()), tokens)
    assert survey.uncuttable == {"head": (3, "reach the output (output)")}


class Tied(nn.Module):
    """Logits over the vocabulary, by the embedding's own weights."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 20)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[1][-1])


def test_layers_that_share_weights_keep_them(tokens):
    with pytest.raises(ModelError, match="embed and 1 more: channels share a parameter"):
        groups_by_flow(trace(Tied()), tokens)


class Normalised(nn.Module):
    """A layer norm over hidden units."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(5, 8, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, inputs):
        return self.head(self.norm(self.rnn(inputs)[0]).mean(1))


def test_units_under_a_layer_norm_are_normalised_over_what_stays():
    model = trace(Normalised())
    cut, removal = cut_in_half(model, torch.randn(1, 7, 5))
    assert check_cut(model, cut, torch.randn(4, 7, 5), removal) < 1e-12
    assert cut.norm.normalized_shape == (4,)


class Renormalised(nn.Module):
    """Scales embeddings to a norm, which changes when a channel leaves."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8, max_norm=1.0)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0].mean(1))


def test_embeddings_that_are_scaled_to_a_norm_stay(tokens):
    model = trace(Renormalised())
    cut, removal = cut_in_half(model, tokens)
    assert [group.name for group in removal.groups] == ["rnn"]
    assert check_cut(model, cut, torch.randint(0, 20, (4, 9)), removal) < 1e-12


class AllStates(nn.Module):
    """Reads the final states of both layers as one tensor, so that both need the same width."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(5, 8, 2, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs):
        return self.head(self.rnn(inputs)[1].transpose(0, 1).flatten(1))


def test_layers_whose_states_are_read_as_one_stay():
    with pytest.raises(ModelError, match=r"rnn\.l0 and 1 more: channels are not a slice"):
        groups_by_flow(unstacked(trace(AllStates())), torch.randn(1, 9, 5))
