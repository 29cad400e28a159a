from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.groups import find_groups
from edgespiral.prune.masking import gated, keep_gates
from edgespiral.prune.scoring.reconstruct import folded, moments

KINDS = ["residual", "concatenated"]


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(64, 3, 8, 8, generator=generator) for _ in range(4)]


def half_of(groups):
    return {group.name: list(range(group.channels // 2)) for group in groups}


@torch.no_grad()
def masked(model, groups, kept, inputs):
    with gated(model, groups, keep_gates(groups, kept)):
        return model(inputs)


@torch.no_grad()
def error(model, of, groups, kept, inputs):
    return float((masked(model, groups, kept, inputs) - of(inputs)).square().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_each_groups_cut_changes_outputs_less(kind, request, example, batches):
    model = request.getfixturevalue(kind)
    groups = find_groups(model, example)
    known = moments(model, groups, batches)
    everything = {group.name: list(range(group.channels)) for group in groups}
    unseen = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    gains = []
    for group in groups:
        kept = {**everything, group.name: list(range(group.channels // 2))}
        after = folded(model, groups, kept, known)
        plain = error(model, model, groups, kept, unseen)
        gains.append(error(after, model, groups, kept, unseen) / plain)
    assert max(gains) < 1.0
    assert min(gains) < 0.6


def test_a_channel_that_another_predicts_costs_next_to_nothing(residual, example, batches):
    block = residual.block1
    with torch.no_grad():
        for name in ("weight", "running_mean"):
            owner = block.conv1 if name == "weight" else block.bn1
            getattr(owner, name)[1] = getattr(owner, name)[0]
        block.bn1.weight[0] = block.bn1.bias[0] = 1.0
        block.bn1.running_var[1] = block.bn1.running_var[0]
        block.bn1.weight[1], block.bn1.bias[1] = 2 * block.bn1.weight[0], 2 * block.bn1.bias[0]
    groups = find_groups(residual, example)
    kept = {group.name: list(range(group.channels)) for group in groups}
    kept["block1.conv1"].remove(1)
    after = folded(residual, groups, kept, moments(residual, groups, batches))
    plain = error(residual, residual, groups, kept, batches[0])
    assert error(after, residual, groups, kept, batches[0]) < 0.01 * plain


def test_a_linear_layer_gets_the_least_squares_weights_and_bias(residual, example, batches):
    groups = find_groups(residual, example)
    (group,) = [g for g in groups if any(slot.layer == "head" for slot in g.consumers)]
    seen = []
    residual.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    known = moments(residual, groups, batches)
    with torch.no_grad():
        wanted = residual(torch.cat(batches))
    features = seen[-1]
    kept = half_of(groups)
    head = folded(residual, groups, kept, known).head
    rows = torch.cat([features[:, kept[group.name]], torch.ones(len(features), 1)], 1)
    best = torch.linalg.lstsq(rows, wanted).solution
    least = float((rows @ best - wanted).square().mean())
    found = features[:, kept[group.name]] @ head.weight[:, kept[group.name]].T + head.bias
    assert float((found - wanted).detach().square().mean()) < 1.1 * least


def test_the_model_itself_and_what_goes_whole_are_left_alone(residual, example, batches):
    groups = find_groups(residual, example)
    before = {name: value.clone() for name, value in residual.state_dict().items()}
    kept = {group.name: list(range(group.channels)) for group in groups} | {"block1.conv1": []}
    after = folded(residual, groups, kept, moments(residual, groups, batches))
    for state in (residual.state_dict(), after.state_dict()):
        assert all(torch.equal(state[name], value) for name, value in before.items())


def test_grouped_convolutions_and_very_wide_inputs_are_left_alone(grouped, example, batches):
    groups = find_groups(grouped, example)
    assert set(moments(grouped, groups, batches)) == {"head"}
    wide = torch.fx.symbolic_trace(
        nn.Sequential(nn.Conv2d(3, 20, 1), nn.Flatten(), nn.Linear(20 * 64, 4), nn.Linear(4, 5))
    )
    assert set(moments(wide, find_groups(wide, example), batches)) == {"3"}


def test_through_recurrent_layers_nothing_is_followed(sequence, tokens):
    model = sequence(nn.LSTM)
    groups = groups_by_flow(model, tokens)
    known = moments(model, groups, [tokens.repeat(8, 1)])
    fed_by_it = [g for g in groups if any(s.layer == "rnn" for s in g.producers)]
    assert fed_by_it
    assert not {slot.layer for group in fed_by_it for slot in group.consumers} & known.keys()
