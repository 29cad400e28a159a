from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.core.errors import DataError, ModelError, UsageError
from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.groups import find_groups
from edgespiral.prune.masking import gated
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.prune.unstack import unstacked
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture
def evidence():
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(8, 3, 8, 8, generator=generator)
    return Evidence([(inputs, torch.arange(8) % 5)], losses=CLASSIFICATION.sample_losses)


@pytest.mark.parametrize("name", CRITERIA.names())
def test_every_criterion_scores_every_channel(name, residual, example, evidence):
    groups = find_groups(residual, example)
    scores = CRITERIA.get(name).score(residual, groups, evidence)
    assert {group: len(s) for group, s in scores.items()} == {g.name: g.channels for g in groups}
    assert all(bool((s >= 0).all()) and float(s.sum()) > 0 for s in scores.values())
    again = CRITERIA.get(name).score(residual, groups, evidence)
    assert all(torch.equal(scores[group], again[group]) for group in scores)


@pytest.mark.parametrize("name", ["fisher", "taylor"])
def test_scores_do_not_depend_on_how_samples_are_divided(name, residual, example, evidence):
    groups = find_groups(residual, example)
    [(inputs, labels)] = evidence.batches
    parts = Evidence(
        [(inputs[:3], labels[:3]), (inputs[3:], labels[3:])], losses=CLASSIFICATION.sample_losses
    )
    whole, divided = (
        CRITERIA.get(name).score(residual, groups, shown) for shown in (evidence, parts)
    )
    assert all(torch.allclose(whole[g.name], divided[g.name], rtol=1e-4) for g in groups)


@pytest.mark.parametrize("name", ["l1", "l2", "fpgm", "fisher", "taylor"])
def test_a_channel_that_nothing_reads_and_nothing_writes_scores_least(
    name, residual, example, evidence
):
    with torch.no_grad():
        residual.get_submodule("block1.conv1").weight[5] = 0
        residual.get_submodule("block1.bn1").weight[5] = 0
        residual.get_submodule("block1.bn1").bias[5] = 0
        residual.get_submodule("block1.conv2").weight[:, 5] = 0
    groups = find_groups(residual, example)
    scores = CRITERIA.get(name).score(residual, groups, evidence)["block1.conv1"]
    expected = {"fpgm": scores[5]}.get(name, scores.min())
    assert float(scores[5]) == pytest.approx(float(expected))


def test_fisher_is_half_the_mean_square_of_the_gates_gradient(residual, example, evidence):
    groups = find_groups(residual, example)
    (inputs, labels) = evidence.batches[0]
    residual.requires_grad_(requires_grad=False)

    def loss(sample, gate):
        gates = {g.name: torch.ones(1, g.channels) for g in groups} | {"stem": gate}
        with gated(residual, groups, gates):
            outputs = residual(inputs[sample : sample + 1])
        return F.cross_entropy(outputs, labels[sample : sample + 1])

    total = torch.zeros(16)
    for sample in range(8):
        gate = torch.ones(1, 16, requires_grad=True)
        total += torch.autograd.grad(loss(sample, gate), gate)[0][0].square() / 2
    found = CRITERIA.get("fisher").score(residual, groups, evidence)["stem"]
    assert torch.allclose(found, total / 8, rtol=1e-3)


def test_l1_sums_the_coupled_layers_weights(residual, example, evidence):
    groups = find_groups(residual, example)
    found = CRITERIA.get("l1").score(residual, groups, evidence)["stem"]
    layers = [residual.get_submodule(n) for n in ("stem", "block1.conv2", "block2.conv2")]
    expected = sum(layer.weight.detach().abs().sum((1, 2, 3)) for layer in layers)
    assert torch.allclose(found, expected / expected.mean(), rtol=1e-5)


def test_an_unknown_criterion_names_the_nearest(residual, example, evidence):
    with pytest.raises(UsageError, match="did you mean fisher"):
        CRITERIA.get("fischer").score(residual, find_groups(residual, example), evidence)


def test_gradients_without_labelled_samples_are_refused(residual, example):
    with pytest.raises(DataError, match="needs labelled samples"):
        CRITERIA.get("taylor").score(
            residual,
            find_groups(residual, example),
            Evidence([], losses=CLASSIFICATION.sample_losses),
        )


def test_gradients_that_are_not_finite_are_refused(residual, example, evidence):
    groups = find_groups(residual, example)
    with torch.no_grad():
        residual.stem.weight[0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        CRITERIA.get("fisher").score(residual, groups, evidence)


@pytest.mark.parametrize("name", [name for name in CRITERIA.names() if name != "l1-reg"])
def test_every_criterion_scores_hidden_units(name, sequence, tokens):
    model = sequence(nn.GRU, bidirectional=True)
    with torch.no_grad():
        for parameter in (model.rnn.weight_ih_l0, model.rnn.weight_hh_l0, model.rnn.bias_ih_l0):
            parameter[3::8] = 0
        model.rnn.bias_hh_l0[3::8] = 0
    groups = groups_by_flow(model, tokens)
    inputs = torch.randint(0, 20, (6, 9), generator=torch.Generator().manual_seed(2))
    found = CRITERIA.get(name).score(
        model,
        groups,
        Evidence([(inputs, torch.arange(6) % 3)], losses=CLASSIFICATION.sample_losses),
    )
    assert {group: len(s) for group, s in found.items()} == {"embed": 12, "rnn": 16, "hidden": 10}
    # A forward unit without weights stays at zero: only chance and distances can want it.
    assert (int(found["rnn"].argmin()) == 3) or name in ("random", "fpgm")
    assert all(bool((s >= 0).all()) and float(s.sum()) > 0 for s in found.values())


@pytest.mark.parametrize("batch_first", [False, True])
def test_samples_of_sequences_are_scored_one_by_one(batch_first, sequence, tokens):
    model = sequence(nn.LSTM, "each", num_layers=2, batch_first=batch_first)
    groups = groups_by_flow(unstacked(model), tokens)
    inputs = torch.randint(0, 20, (6, 9), generator=torch.Generator().manual_seed(2))
    labels = torch.arange(6) % 3
    together = CRITERIA.get("fisher").score(
        model, groups, Evidence([(inputs, labels)], losses=CLASSIFICATION.sample_losses)
    )
    single = Evidence(
        [(inputs[i : i + 1], labels[i : i + 1]) for i in range(6)],
        losses=CLASSIFICATION.sample_losses,
    )
    alone = CRITERIA.get("fisher").score(model, groups, single)
    for name in together:
        assert torch.allclose(together[name], alone[name], rtol=1e-3, atol=1e-9)
