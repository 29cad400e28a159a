"""Variants that share what comes before them compute what each computes on its own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.models.saved import trace
from edgespiral.prune.branches import Silencing
from edgespiral.prune.masking import gated, keep_gates
from edgespiral.prune.prunable import PrunableModel
from edgespiral.prune.scoring.divergence import OutputDivergence, priced
from edgespiral.prune.scoring.reconstruct import folded, moments
from edgespiral.prune.scoring.select import keep_best
from edgespiral.prune.scoring.variants import Tour, Variant
from edgespiral.tasks.classification import CLASSIFICATION


class InPlace(nn.Module):
    """Activations overwrite what a skip, a view and a gone branch read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.wide = nn.Conv2d(8, 16, 1)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(16, 12, 1)
        self.head = nn.Linear(12, 5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        trunk = self.stem(inputs)
        flat = trunk.flatten(2)
        hidden = self.wide(self.relu(self.narrow(self.relu(self.bn(trunk)))))
        trunk = self.relu(hidden + trunk)
        return self.head(F.relu(self.last(trunk)).mean((2, 3)) + flat.mean((1, 2))[:, None])


class Attention(nn.Module):
    """One block of a vision transformer on patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 2, stride=2)
        self.before, self.between = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.expand, self.reduce = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(inputs).flatten(2).transpose(1, 2)
        normed = self.before(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        tokens = tokens + self.reduce(F.gelu(self.expand(self.between(tokens))))
        return self.head(tokens.mean(1))


def batch(seed: int) -> torch.Tensor:
    return torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def adapting(model):
    probe = copy.deepcopy(model).eval()
    for module in probe.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return probe


@torch.no_grad()
def alone(source, kept, branches, inputs, known):
    """The outputs of one variant by a model of its own, run from its beginning."""
    inside = {name for branch in branches for name in branch.groups}
    everything = {group.name: list(range(group.channels)) for group in source.groups}
    probe = folded(adapting(source.model), source.groups, {**everything, **kept}, known)
    open_inside = {name: everything[name] for name in inside}
    gates = keep_gates(source.groups, {**everything, **kept, **open_inside})
    with gated(probe, source.groups, gates):
        return Silencing(probe, branches).run(inputs)


def every_variant(source, probe, known):
    halves = {g.name: g.units // 2 * g.sub_groups for g in source.groups}
    scores = {g.name: torch.rand(g.channels) for g in source.groups}
    kept = keep_best(source.groups, scores, halves)
    changes = [({name: kept[name]}, ()) for name in halves]
    changes += [({}, (branch,)) for branch in source.branches]
    changes += [(kept, tuple(source.branches[:1]))]
    return changes, [Variant.of(probe, source.groups, k, b, known) for k, b in changes]


def source_of(name, request):
    torch.manual_seed(0)
    if name in ("inplace", "attention"):
        model = trace(InPlace() if name == "inplace" else Attention())
        return PrunableModel.of(model, (3, 8, 8))
    if name == "spectral":
        return PrunableModel.of(request.getfixturevalue(name), (1, 8, 8))
    return PrunableModel.of(request.getfixturevalue(name), (3, 8, 8))


NETS = ("residual", "concatenated", "grouped", "spectral", "inplace", "attention")


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_a_variant_in_a_tour_computes_what_it_computes_alone(name, request):
    source = source_of(name, request)
    inputs = batch(1)[:, : source.example.shape[1]]
    known = moments(source.model, source.groups, [batch(2)[:, : inputs.shape[1]]])
    probe = adapting(source.model)
    changes, variants = every_variant(source, probe, known)
    seen: dict[int, torch.Tensor] = {}
    whole = Tour(probe, variants, seen.__setitem__).run(inputs)
    torch.testing.assert_close(whole, adapting(source.model)(inputs))
    assert sorted(seen) == list(range(len(variants)))
    for index, (kept, branches) in enumerate(changes):
        expected = alone(source, kept, branches, inputs, known)
        torch.testing.assert_close(seen[index], expected, rtol=1e-4, atol=1e-5)
        assert not torch.equal(seen[index], whole)


@pytest.mark.parametrize("name", NETS)
def test_prices_together_are_those_of_each_alone(name, request):
    source = source_of(name, request)
    inputs = [batch(3)[:, : source.example.shape[1]]]
    known = moments(source.model, source.groups, inputs)
    scores = {g.name: torch.rand(g.channels) + 0.1 for g in source.groups}
    damage = OutputDivergence(source.model, source.groups, inputs, known, task=CLASSIFICATION)
    damage_alone = OutputDivergence(source.model, source.groups, inputs, known, task=CLASSIFICATION)
    prices = priced(damage, scores, source.branches)
    for group in source.groups:
        half = group.units // 2 * group.sub_groups
        stay = keep_best([group], scores, {group.name: half})[group.name]
        gone = [channel for channel in range(group.channels) if channel not in stay]
        expected = damage_alone.of_widths(scores, {group.name: half})
        lost = prices.channels[group.name].double()[gone].sum()
        assert float(lost) == pytest.approx(expected, 1e-3)
    for branch in source.branches:
        assert prices.branches[branch.name] == pytest.approx(damage_alone.of_branch(branch), 1e-3)


def test_the_model_and_the_probe_are_left_as_they_were(residual):
    source = PrunableModel.of(residual, (3, 8, 8))
    known = moments(source.model, source.groups, [batch(1)])
    probe = adapting(source.model)
    parameters = dict(probe.named_parameters())
    before = {name: value.clone() for name, value in parameters.items()}
    _, variants = every_variant(source, probe, known)
    with torch.no_grad():
        Tour(probe, variants, lambda _index, _outputs: None).run(batch(2))
    after = dict(probe.named_parameters())
    assert all(after[name] is parameters[name] for name in parameters)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(module._forward_pre_hooks for module in probe.modules())


def test_what_comes_before_a_variant_is_run_once(residual):
    source = PrunableModel.of(residual, (3, 8, 8))
    probe = adapting(source.model)
    stem_runs = []
    probe.get_submodule("stem").register_forward_hook(lambda *_: stem_runs.append(1))
    _, variants = every_variant(source, probe, {})
    with torch.no_grad():
        Tour(probe, variants, lambda _index, _outputs: None).run(batch(2))
    assert len(variants) > 4
    assert len(stem_runs) == 1


def test_more_samples_are_asked_for_only_while_prices_are_not_told_apart(residual):
    groups = PrunableModel.of(residual, (3, 8, 8)).groups
    scores = {g.name: torch.rand(g.channels) + 0.1 for g in groups}

    def runs(inputs):
        counted = []
        damage = OutputDivergence(residual, groups, inputs, task=CLASSIFICATION)
        priced(damage, scores, heard=lambda: counted.append(1))
        return len(counted) / len(groups)

    # A sample that repeats itself leaves no doubt; single ones leave much.
    alike = batch(1)[:1].expand(24, -1, -1, -1) + 1e-3 * batch(2)
    assert runs([alike, alike, alike]) == 1
    assert runs([batch(seed)[:4] for seed in range(3)]) == 3
