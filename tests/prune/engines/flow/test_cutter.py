from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.prune.engines.base import Removal, check_cut
from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.engines.flow.rewrite import explicit
from edgespiral.prune.groups import find_groups

INPUTS = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))


def some_of(groups, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        g.name: g.channels_of_units(
            torch.randperm(g.units, generator=generator)[: max(1, g.units // 2)].tolist()
        )
        for g in groups
    }


def test_every_family_loses_half_of_every_group_and_equals_the_masked_model(family, example):
    model = explicit(family, example)
    groups = groups_by_flow(model, example)
    kept = some_of(groups)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cut = FlowCutter().cut(model, example, groups, kept)
    # A batch of 3: no size may have been taken from the example's batch of 1.
    assert check_cut(model, cut, INPUTS, Removal(groups, kept)) < 1e-12
    for root in {group.root for group in groups}:
        own = [group for group in groups if group.root == root]
        assert sum(group.channels for group in own) == len(model.get_submodule(root).weight)
        left = sum(len(kept[group.name]) for group in own)
        assert len(cut.get_submodule(root).weight) == left
    sizes = [sum(p.numel() for p in m.parameters()) for m in (cut, model)]
    assert sizes[0] < 0.75 * sizes[1]
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("name", ["vit", "swin", "shufflenet"])
def test_one_group_at_a_time_can_go(name, named, example):
    model = explicit(named(name), example)
    groups = groups_by_flow(model, example)
    everything = {g.name: list(range(g.channels)) for g in groups}
    for group in groups[:6]:
        kept = everything | {group.name: some_of([group])[group.name]}
        cut = FlowCutter().cut(model, example, groups, kept)
        assert check_cut(model, cut, example, Removal(groups, kept)) < 1e-12


def test_the_check_catches_another_cut(family, example):
    model = explicit(family, example)
    groups = groups_by_flow(model, example)
    cut = FlowCutter().cut(model, example, groups, some_of(groups, seed=3))
    with pytest.raises(ModelError, match=r"differ by|should remain|does not run"):
        check_cut(model, cut, example, Removal(groups, some_of(groups, seed=4)))


@pytest.mark.parametrize("network", ["residual", "concatenated", "grouped"])
def test_it_cuts_what_torch_pruning_found_as_well(network, request):
    model, example = request.getfixturevalue(network), torch.randn(1, 3, 8, 8)
    groups = find_groups(model, example)
    kept = some_of(groups)
    cut = FlowCutter().cut(model, example, groups, kept)
    assert check_cut(model, cut, torch.randn(4, 3, 8, 8), Removal(groups, kept)) < 1e-12


def test_keeping_everything_changes_nothing(family, example):
    model = explicit(family, example)
    groups = groups_by_flow(model, example)
    kept = {g.name: list(range(g.channels)) for g in groups}
    cut = FlowCutter().cut(model, example, groups, kept)
    assert torch.equal(cut(example), model(example))


def test_removing_every_channel_is_refused(named, example):
    model = explicit(named("convnext"), example)
    groups = groups_by_flow(model, example)
    kept = {g.name: list(range(g.channels)) for g in groups} | {groups[0].name: []}
    with pytest.raises(ModelError, match="cannot remove every channel"):
        FlowCutter().cut(model, example, groups, kept)


class Unfollowed(nn.Module):
    """A cumulative sum over channels: what a channel reaches there is not known."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 6, 1)
        self.two = nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.one(inputs).cumsum(1)).mean((2, 3)))


def test_channels_that_go_where_nothing_is_known_are_refused_not_cut(example):
    model = torch.fx.symbolic_trace(Unfollowed())
    wrong = find_groups(model, example)
    assert {g.name for g in wrong} == {"one", "two"}
    with pytest.raises(ModelError, match="one: not all uses of its channels are known"):
        FlowCutter().cut(model, example, wrong, some_of(wrong))
    assert [g.name for g in groups_by_flow(model, example)] == ["two"]
