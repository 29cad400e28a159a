from __future__ import annotations

import copy

import pytest
import torch

from edgespiral.core.errors import ModelError
from edgespiral.prune.branches import drop, find_branches
from edgespiral.prune.engines.base import Removal, check_cut, share_again
from edgespiral.prune.engines.depgraph import DepGraphCutter
from edgespiral.prune.engines.nni import NniCutter
from edgespiral.prune.groups import find_groups

ENGINES = [DepGraphCutter(), NniCutter()]
NETWORKS = ["residual", "concatenated", "grouped"]


def some_of(groups, share=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        g.name: g.channels_of_units(
            torch.randperm(g.units, generator=generator)[: max(1, int(g.units * share))].tolist()
        )
        for g in groups
    }


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_cut_equals_the_masked_model_and_is_smaller(engine, network, example, request):
    model = request.getfixturevalue(network)
    groups = find_groups(model, example)
    kept = some_of(groups)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cut = engine.cut(model, example, groups, kept)
    assert check_cut(model, cut, torch.randn(4, 3, 8, 8), Removal(groups, kept)) < 1e-12
    for group in groups:
        assert len(cut.get_submodule(group.name).weight) == len(kept[group.name])
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_keeping_everything_changes_nothing(engine, residual, example):
    groups = find_groups(residual, example)
    kept = {group.name: list(range(group.channels)) for group in groups}
    cut = engine.cut(residual, example, groups, kept)
    assert torch.equal(cut(example), residual(example))


def test_the_check_catches_the_wrong_channel(residual, example):
    groups = find_groups(residual, example)
    cut = DepGraphCutter().cut(residual, example, groups, some_of(groups, seed=0))
    with pytest.raises(ModelError, match="differ by"):
        check_cut(residual, cut, example, Removal(groups, some_of(groups, seed=1)))


def test_the_check_catches_a_layer_of_the_wrong_size(residual, example):
    groups = find_groups(residual, example)
    kept = some_of(groups)
    with pytest.raises(ModelError, match=r"stem: 8 channels should remain, not 16"):
        check_cut(residual, residual, example, Removal(groups, kept))


def test_the_check_catches_a_cut_that_made_parameters(residual, example):
    cut = copy.deepcopy(residual)
    cut.add_module("another", torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match="the cut made"):
        check_cut(residual, cut, example, Removal([], {}))


def test_layers_share_again_what_a_cut_left_alike():
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    apart = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    with pytest.raises(ModelError, match=r"weights that layers share: 0\.weight, 1\.weight"):
        share_again(tied, apart)
    apart[1].load_state_dict(apart[0].state_dict())
    share_again(tied, apart)
    assert apart[1].weight is apart[0].weight
    assert apart[1].bias is not apart[0].bias


def test_the_check_knows_dropped_branches(residual, example):
    groups = find_groups(residual, example)
    branches = find_branches(residual, groups, example)
    kept = {group.name: list(range(group.channels)) for group in groups}
    smaller = drop(residual, branches[:1])
    assert check_cut(residual, smaller, example, Removal(groups, kept, branches[:1])) < 1e-12
    with pytest.raises(ModelError, match="differ by"):
        check_cut(residual, smaller, example, Removal(groups, kept, branches[1:]))


def test_a_cut_model_that_does_not_run_is_reported(residual, example):
    groups = find_groups(residual, example)
    kept = {group.name: list(range(group.channels)) for group in groups}
    broken = torch.fx.symbolic_trace(residual)
    broken.head = torch.nn.Linear(3, 5)
    with pytest.raises(ModelError, match="does not run"):
        check_cut(residual, broken, example, Removal(groups, kept))
