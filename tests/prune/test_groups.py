from __future__ import annotations

import sys
from itertools import pairwise

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.prune.groups import find_groups, output_layers, removed_channels, renamed, widths_of


def layers(slots):
    return {slot.layer for slot in slots}


def test_torch_pruning_brings_no_timm_along(residual, example, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("timm", "torch_pruning")]:
        monkeypatch.delitem(sys.modules, name)
    assert len(find_groups(residual, example)) == 3
    assert "timm" not in sys.modules


def test_a_residual_addition_couples_all_that_feed_it(residual, example):
    groups = {group.name: group for group in find_groups(residual, example)}
    assert widths_of(groups.values()) == {"stem": 16, "block1.conv1": 24, "block2.conv1": 8}
    assert {"stem", "block1.conv2", "block1.bn2", "block2.conv2"} <= layers(
        groups["stem"].producers
    )
    assert layers(groups["stem"].consumers) == {"block1.conv1", "block2.conv1", "head"}


def test_a_concatenation_shifts_positions_and_a_flatten_spreads_them(concatenated, example):
    groups = {group.name: group for group in find_groups(concatenated, example)}
    (mix,) = groups["high"].consumers
    assert mix.channel_of.tolist() == [-1] * 4 + list(range(6))
    (head,) = groups["mix"].consumers
    assert head.channel_of.tolist() == [c for c in range(6) for _ in range(64)]


def test_parts_of_a_concatenation_that_a_depthwise_layer_ties_are_one_group(concatenated, example):
    groups = {group.name: group for group in find_groups(concatenated, example)}
    assert set(groups) == {"depthwise", "low", "high", "mix"}
    parts = {s.layer: s.channel_of.tolist() for s in groups["depthwise"].producers}
    assert parts["left"] == list(range(8))
    assert parts["right"] == list(range(8, 20))


def test_a_grouped_convolution_ties_the_same_channel_of_each_run(grouped, example):
    group = next(g for g in find_groups(grouped, example) if g.name == "stem")
    assert (group.sub_groups, group.units) == (4, 4)
    assert group.channels_of_units([1]) == [1, 5, 9, 13]


@pytest.mark.parametrize("network", ["residual", "concatenated", "grouped"])
def test_output_layers_are_never_in_a_group(network, example, request):
    model = request.getfixturevalue(network)
    assert output_layers(model) == {"head"}
    for group in find_groups(model, example):
        assert "head" not in layers(group.producers)


def test_frozen_layers_are_coupled_like_others(residual, example):
    expected = widths_of(find_groups(residual, example))
    residual.requires_grad_(False)
    assert widths_of(find_groups(residual, example)) == expected
    assert not any(parameter.requires_grad for parameter in residual.parameters())


def test_layers_that_share_a_parameter_stay(example):
    sizes = [3, 8, 8, 8, 6, 2]
    layers = nn.Sequential(*(nn.Conv2d(*pair, 1) for pair in pairwise(sizes)))
    model = torch.fx.symbolic_trace(layers)
    assert widths_of(find_groups(model, example)) == {"0": 8, "1": 8, "2": 8, "3": 6}
    model.get_submodule("2").weight = model.get_submodule("1").weight
    assert widths_of(find_groups(model, example)) == {"3": 6}


def test_channels_that_are_spread_over_pixels_are_refused(example):
    layers = nn.Conv2d(3, 16, 1), nn.PixelShuffle(2), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 2, 1)
    with pytest.raises(ModelError, match="not those that Torch-Pruning sees"):
        find_groups(torch.fx.symbolic_trace(nn.Sequential(*layers)), example)


def test_a_model_with_nothing_to_cut_says_so():
    model = torch.fx.symbolic_trace(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)))
    with pytest.raises(ModelError, match="no layer has channels that can be cut"):
        find_groups(model, torch.randn(1, 3, 2, 2))


def test_groups_keep_the_names_of_the_model_they_were_cut_from(residual, example):
    groups = find_groups(residual, example)
    others = [*groups[1:], groups[0]]
    assert [g.name for g in renamed(others, groups)] == [g.name for g in others]


def test_removed_channels_names_only_groups_that_lose_some(residual, example):
    groups = find_groups(residual, example)
    kept = {g.name: list(range(g.channels)) for g in groups} | {"block2.conv1": [1, 3]}
    assert removed_channels(groups, kept) == {"block2.conv1": [0, 2, 4, 5, 6, 7]}
