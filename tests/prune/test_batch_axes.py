from __future__ import annotations

import pytest
import torch
from torch import nn

import edgespiral
from edgespiral.core.errors import ModelError
from edgespiral.models.saved import trace
from edgespiral.prune.batch_axes import agree, batch_axes, known_axes, with_batch_axes
from edgespiral.prune.engines.flow.finder import groups_by_flow, survey_by_flow


@pytest.mark.parametrize("batch_first", [True, False])
def test_samples_are_found_on_whatever_axis_they_are(sequence, tokens, batch_first):
    model = sequence(nn.GRU, "each", batch_first=batch_first)
    axes = batch_axes(model, tokens)
    assert (axes["rnn"], axes["hidden"]) == ((0, 0) if batch_first else (1, 1))
    (group,) = [g for g in groups_by_flow(model, tokens) if g.name == "rnn"]
    assert [slot.batch_axis for slot in group.consumers] == [axes["hidden"]]
    assert with_batch_axes(group, {}).consumers[0].batch_axis == 0
    assert known_axes([group]) == {name: axes[name] for name in ("rnn", "hidden")}


class Framewise(nn.Module):
    """Runs layers on frames of all samples at once: `mixed` ones have samples vary fastest."""

    def __init__(self, *, mixed):
        super().__init__()
        self.mixed = mixed
        self.inlet, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, inputs):
        frames = self.inlet(inputs)
        frames = frames.transpose(0, 1) if self.mixed else frames
        rows = self.head(frames.flatten(0, 1))
        shape = (inputs.shape[1], -1, 3) if self.mixed else (-1, inputs.shape[1], 3)
        return rows.reshape(shape).mean(0 if self.mixed else 1)


def test_rows_whose_samples_alternate_are_not_scored_as_if_they_did_not():
    example = torch.randn(1, 7, 5)
    assert batch_axes(trace(Framewise(mixed=False)), example)["head"] == 0
    mixed = trace(Framewise(mixed=True))
    assert "head" not in batch_axes(mixed, example)
    survey = survey_by_flow(mixed, example)
    assert not survey.groups
    assert "cannot be told apart" in survey.uncuttable["inlet"][1]


class Routed(nn.Module):
    """Experts read the tokens that are routed to them, of whatever sample."""

    def __init__(self):
        super().__init__()
        self.tokens, self.router = nn.Embedding(50, 8), nn.Linear(8, 2)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(2)
        )
        self.hidden, self.head = nn.Linear(8, 12), nn.Linear(12, 4)

    def forward(self, tokens):
        rows = self.tokens(tokens).flatten(0, 1)
        chosen, mixed = self.router(rows).argmax(-1), torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            own = (chosen == number).nonzero().squeeze(-1)
            mixed.index_add_(0, own, expert(rows[own]))
        hidden = self.hidden((rows + mixed).view(*tokens.shape, 8).mean(1))
        return self.head(hidden.relu())


def test_rows_that_are_picked_by_their_values_are_not_scored_as_samples():
    torch.manual_seed(0)
    tokens = torch.randint(50, (48, 16))
    net = Routed()
    assert batch_axes(trace(net, tokens[:4]), tokens[:1]).keys() >= {"hidden", "head"}
    splits = {
        name: torch.utils.data.TensorDataset(tokens[part], torch.arange(len(tokens[part])) % 4)
        for name, part in (("train", slice(0, 24)), ("validation", slice(24, 36)),
                           ("test", slice(36, 48)))
    }  # fmt: skip
    data = {**splits, "token_count": 50, "classes": list("abcd")}
    small = edgespiral.cut(net, data=data, fraction=0.5)
    assert small.meta["cut"].before == {"hidden": 12}
    assert small(tokens).shape == (48, 4)


def test_a_batch_of_as_many_rows_as_one_sample_has_no_axis_of_samples():
    class Best(nn.Module):
        def __init__(self):
            super().__init__()
            self.inlet, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, inputs):
            rows = self.inlet(inputs).flatten(0, 1)
            return inputs.mean(1)[:, :3] + self.head(rows[rows.sum(-1).topk(2).indices]).sum(0)

    graph = trace(Best(), torch.randn(4, 7, 5))
    assert batch_axes(graph, torch.randn(1, 7, 5)) == {"": 0, "inlet": 0}


class Rounding(nn.Module):
    """Rounds in single precision by as much as the batch is large, and in double hardly."""

    def __init__(self):
        super().__init__()
        self.inlet, self.head = nn.Linear(64, 64), nn.Linear(64, 3)

    def forward(self, inputs):
        hidden, large = self.inlet(inputs), 5e4 * inputs.shape[0]
        return self.head(hidden + large - large)


def test_rounding_is_told_from_other_samples():
    torch.manual_seed(0)
    graph, example = trace(Rounding()), torch.randn(1, 64)
    axes = batch_axes(graph, example)
    assert (axes["inlet"], axes["head"]) == (0, 0)


def test_a_model_for_one_sample_only_is_refused():
    class Alone(nn.Module):
        def forward(self, x):
            return x.reshape(1, 12)

    with pytest.raises(ModelError, match="does not run on a batch of 5"):
        batch_axes(Alone(), torch.randn(1, 3, 4))


def test_rounding_is_measured_against_the_largest_value():
    large = torch.tensor([1e6, 0.0])
    assert agree(large, large + torch.tensor([0.0, 1.0]))
    assert not agree(large, large + torch.tensor([0.0, 1e4]))
