from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.groups import find_groups
from edgespiral.prune.scoring.divergence import OutputDivergence
from edgespiral.prune.scoring.obs import after_folding
from edgespiral.prune.scoring.reconstruct import folded, moments
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(64, 3, 8, 8, generator=generator) for _ in range(4)]


def even(groups):
    return {group.name: torch.ones(group.channels) for group in groups}


def traced(*layers):
    return torch.fx.symbolic_trace(nn.Sequential(*layers)).eval()


def test_of_two_equal_channels_one_costs_nothing_and_then_the_other_matters(batches):
    torch.manual_seed(0)
    model = traced(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1))
    with torch.no_grad():
        model.get_submodule("0").weight[4] = model.get_submodule("0").weight[1]
        model.get_submodule("0").bias[4] = model.get_submodule("0").bias[1]
        model.get_submodule("1").weight[:, [1, 4]] *= 10
    groups = find_groups(model, batches[0][:1])
    (group,) = [g for g in groups if g.root == "0"]
    found = after_folding(even(groups), model, groups, moments(model, groups, batches))
    order = found[group.name].argsort().tolist()
    assert order[0] in (1, 4)
    assert {order[0], order[-1]} == {1, 4}


def test_the_order_of_leaving_is_that_of_least_error_one_after_the_other(batches):
    """Against folding each remaining channel and running the model."""
    torch.manual_seed(0)
    model = traced(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 1))
    groups = find_groups(model, batches[0][:1])
    (group,) = [g for g in groups if g.root == "0"]
    known = moments(model, groups, batches)
    inputs = torch.cat(batches)

    @torch.no_grad()
    def error(kept):
        hidden = model.get_submodule("1")(model.get_submodule("0")(inputs))
        after = folded(model, [group], {group.name: kept}, known).get_submodule("2")
        hidden[:, [c for c in range(6) if c not in kept]] = 0.0
        return float((after(hidden) - model(inputs)).square().mean())

    kept, wanted = list(range(6)), []
    while len(kept) > 1:
        least = min(kept, key=lambda channel: error([c for c in kept if c != channel]))
        kept.remove(least)
        wanted.append(least)
    # With the square of it beside them, this criterion says nothing of its own.
    strength = {group.name: _strength(model.get_submodule("2"), known["2"].covariance)}
    found = after_folding({**even(groups), **strength}, model, groups, known)[group.name]
    assert found.argsort().tolist()[:-1] == wanted


def _strength(consumer, covariance):
    return consumer.weight.detach().square().flatten(1).sum(0).double() * covariance.diagonal()


@pytest.mark.parametrize("kind", ["residual", "concatenated"])
def test_cuts_in_that_order_do_less_damage(kind, request, example, batches):
    """The flattened layer has many positions a channel, the concatenation consumers in parts."""
    model = request.getfixturevalue(kind)
    groups = find_groups(model, example)
    known = moments(model, groups, batches)
    damage = OutputDivergence(model, groups, batches[:2], known, task=CLASSIFICATION)
    generator = torch.Generator().manual_seed(0)
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in groups}
    better = after_folding(scores, model, groups, known)
    half = {group.name: group.channels // 2 for group in groups}
    assert damage.of_cut(better, half) < 0.9 * damage.of_cut(scores, half)


def test_channels_that_leave_together_are_scored_together(grouped, example, batches):
    groups = find_groups(grouped, example)
    known = moments(grouped, groups, batches)
    (group,) = [g for g in groups if any(slot.layer in known for slot in g.consumers)]
    assert group.sub_groups > 1
    found = after_folding(even(groups), grouped, groups, known)[group.name]
    runs = found.reshape(group.sub_groups, group.units)
    assert torch.equal(runs, runs[:1].expand_as(runs))
    assert len(set(runs[0].tolist())) == group.units


def test_where_nothing_is_folded_scores_stay(sequence, tokens):
    model = sequence(nn.LSTM)
    groups = groups_by_flow(model, tokens)
    scores = even(groups)
    found = after_folding(scores, model, groups, moments(model, groups, [tokens.repeat(8, 1)]))
    recurrent = [g.name for g in groups if any(s.layer == "rnn" for s in g.producers)]
    assert recurrent
    assert all(torch.equal(found[name], scores[name]) for name in recurrent)


def test_channels_that_give_nothing_go_first_and_a_dead_group_keeps_its_scores(batches):
    torch.manual_seed(0)
    model = traced(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    with torch.no_grad():
        model.get_submodule("0").bias[[2, 5]] = -100.0
        model.get_submodule("2").bias.fill_(-100.0)
    groups = find_groups(model, batches[0][:1])
    first, second = (next(g for g in groups if g.root == root) for root in ("0", "2"))
    scores = {first.name: torch.ones(6), second.name: torch.tensor([4.0, 1.0, 3.0, 2.0])}
    found = after_folding(scores, model, groups, moments(model, groups, batches))
    assert set(found[first.name].argsort().tolist()[:2]) == {2, 5}
    assert torch.equal(found[second.name], scores[second.name])


@pytest.mark.parametrize("bias", [(0.1, 0.1, 0.1), (0.1, 1 / 3, 0.7)])
def test_constants_other_than_zero_are_folded_into_the_bias(bias, batches):
    """Their covariance is rounding errors: nothing may be solved from it."""
    torch.manual_seed(0)
    model = traced(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1))
    with torch.no_grad():
        model.get_submodule("1").weight.zero_()
        model.get_submodule("1").bias.copy_(torch.tensor(bias))
    groups = find_groups(model, batches[0][:1])
    known = moments(model, groups, batches)
    found = after_folding(even(groups), model, groups, known)["0"]
    assert found.isfinite().all()
    after = folded(model, groups, {"0": [0]}, known).get_submodule("3")
    before = model.get_submodule("3")
    assert bool(after.weight.abs().max() < 2 * before.weight.abs().max())
    constant = torch.tensor(bias)
    given = after.weight[:, 0, 0, 0] * constant[0] + after.bias
    assert torch.allclose(given, before.weight[:, :, 0, 0] @ constant + before.bias, atol=1e-4)


def test_a_group_that_is_also_read_where_nothing_is_folded_keeps_its_scores(batches):
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.thin = nn.Conv2d(3, 20, 1), nn.Conv2d(20, 4, 1)
            self.wide, self.head = nn.Linear(20 * 64, 5), nn.Linear(4, 5)

        def forward(self, inputs):
            stem = self.stem(inputs).relu()
            return self.wide(stem.flatten(1)) + self.head(self.thin(stem).mean((2, 3)))

    torch.manual_seed(0)
    model = torch.fx.symbolic_trace(Forked()).eval()
    groups = find_groups(model, batches[0][:1])
    (group,) = [g for g in groups if g.root == "stem"]
    assert len(group.consumers) == 2
    scores = even(groups)
    found = after_folding(scores, model, groups, moments(model, groups, batches))
    assert torch.equal(found[group.name], scores[group.name])
