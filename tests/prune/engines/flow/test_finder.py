from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from edgespiral.core.errors import ModelError, NothingToCutError
from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.finder import groups_by_flow, needs_flow
from edgespiral.prune.engines.flow.rewrite import explicit
from edgespiral.prune.groups import find_groups
from edgespiral.prune.prunable import PrunableModel


def found(name, named, example):
    return {g.name: g for g in groups_by_flow(explicit(named(name), example), example)}


def described(groups):
    def side(slots):
        return {slot.layer: slot.channel_of.tolist() for slot in slots}

    return {g.name: (g.sub_groups, side(g.producers), side(g.consumers)) for g in groups}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "regnet_y_400mf"])
def test_it_finds_what_torch_pruning_finds(name, example):
    model = trace(get_model(name))
    assert not needs_flow(model)
    assert described(groups_by_flow(model, example)) == described(find_groups(model, example))


def test_a_grouped_convolution_ties_the_same_channel_of_each_run(grouped):
    example = torch.randn(1, 3, 8, 8)
    expected = described(find_groups(grouped, example))
    assert described(groups_by_flow(grouped, example)) == expected


def test_heads_leave_as_a_whole(named, example):
    heads = found("vit", named, example)["encoder.layers.encoder_layer_0.self_attention.in_proj"]
    assert (heads.channels, heads.sub_groups, heads.units) == (96, 24, 4)
    (merge,) = heads.consumers
    assert merge.layer == "encoder.layers.encoder_layer_0.self_attention.out_proj"
    second = set(heads.channels_of_units([1]))
    assert [p for p, c in enumerate(merge.channel_of.tolist()) if c in second] == [*range(8, 16)]


def test_the_residual_stream_of_a_transformer_is_one_group(named, example):
    stream = found("vit", named, example)["conv_proj"]
    assert stream.channels == 32
    layers = {slot.layer for slot in stream.producers}
    assert {"encoder.ln", "encoder.layers.encoder_layer_1.mlp.3"} <= layers


def test_groups_that_do_not_see_the_input_are_left_out(named, example):
    groups = found("swin_v2", named, example)
    assert not [name for name in groups if "cpb_mlp" in name]
    heads = {slot.layer for slot in groups["features.1.0.attn.qkv"].producers}
    assert "features.1.0.attn.cpb_mlp.2" in heads


def test_each_branch_of_a_shuffled_stage_has_its_own_width(named, example):
    groups = found("shufflenet", named, example)
    assert {"stage2.0.branch1.2", "stage2.0.branch2.5", "stage2.1.branch2.5"} <= set(groups)


def test_a_norm_over_grouped_channels_loses_the_same_of_each_group(example):
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Conv2d(6, 2, 1)
    )
    model = torch.fx.symbolic_trace(layers)
    assert needs_flow(model)
    found = groups_by_flow(model, example)
    assert [(g.name, g.units, g.sub_groups) for g in found] == [("0", 4, 2), ("2", 6, 1)]


class MeetsInput(nn.Module):
    """Four channels that meet the four of the input by `join`, and 16 that meet nothing."""

    def __init__(self, join):
        super().__init__()
        self.join = join
        self.wide, self.narrow = nn.Conv2d(4, 16, 1), nn.Conv2d(16, 4, 1)
        self.head = nn.LazyLinear(5)

    def forward(self, inputs):
        found = self.narrow(self.wide(inputs))
        return self.head(self.join(torch.relu(inputs), found).reshape(inputs.size(0), -1))


@pytest.mark.parametrize(
    ("join", "groups"),
    [
        (torch.add, ["wide"]),
        (torch.mul, ["wide"]),
        (lambda inputs, found: torch.cat([inputs, found], dim=1), ["narrow", "wide"]),
    ],
)
def test_channels_that_meet_those_of_the_input_stay(join, groups):
    net, example = MeetsInput(join), torch.randn(1, 4, 6, 6)
    net(example)
    model = torch.fx.symbolic_trace(net)
    assert needs_flow(model)
    assert sorted(g.name for g in groups_by_flow(model, example)) == groups


def test_an_input_that_only_tells_its_size_meets_nothing():
    net, example = MeetsInput(lambda _, found: found), torch.randn(1, 4, 6, 6)
    net(example)
    model = torch.fx.symbolic_trace(net)
    assert not needs_flow(model)
    assert sorted(g.name for g in find_groups(model, example)) == ["narrow", "wide"]


def test_a_model_with_nothing_to_cut_says_so():
    model = torch.fx.symbolic_trace(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)))
    with pytest.raises(ModelError, match="no layer has channels that can be cut"):
        groups_by_flow(model, torch.randn(1, 3, 2, 2))


class GrowingStream(nn.Module):
    """Each block adds what came in to the first of its channels and has more of them (RexNet)."""

    def __init__(self, widths):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in itertools.pairwise(widths))
        self.head = nn.Conv2d(widths[-1], 3, 1)

    def forward(self, x):
        for block in self.blocks:
            made, width = block(x), x.shape[1]
            x = torch.cat([made[:, :width] + x, made[:, width:]], 1)
        return self.head(x)


def test_a_chain_of_slices_of_channels_is_followed_by_labels():
    model = nn.Sequential(nn.Conv2d(3, 6, 1), GrowingStream([6, 10, 16, 20]))
    graph, example = trace(model, torch.randn(2, 3, 4, 4)), torch.randn(1, 3, 4, 4)
    assert needs_flow(graph)
    groups = groups_by_flow(graph, example)
    assert sorted(group.channels for group in groups) == [4, 4, 6, 6]


class Stepping(nn.Module):
    """A cell that is called step by step, with layers around it."""

    def __init__(self):
        super().__init__()
        self.embed, self.cell = nn.Linear(5, 8), nn.LSTMCell(8, 6)
        self.head = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, x):
        state = None
        for step in range(x.shape[1]):
            state = self.cell(self.embed(x[:, step]), state)
        return self.head(state[0])


def test_what_torch_pruning_fails_on_is_left_to_labels():
    source = PrunableModel.of(trace(Stepping(), torch.randn(2, 4, 5)), (4, 5))
    assert [group.name for group in source.groups] == ["head.0"]
    assert "LSTMCell cell" in source.uncuttable["embed"][1]


def test_what_holds_channels_is_told_of_cells_and_of_products_of_parameters():
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTMCell(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            h = c = x.new_zeros(x.shape[0], 6)
            for step in range(x.shape[1]):
                h, c = self.cell(x[:, step], (h, c))
            return self.head(h)

    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(1, 4, 4))

        def forward(self, x):
            return torch.bmm(x, self.matrix.expand(x.shape[0], -1, -1))

    example = torch.randn(2, 5, 4)
    with pytest.raises(NothingToCutError, match=r"cell: channels are not followed .*\(LSTMCell"):
        groups_by_flow(trace(Cell(), example), example[:1])
    with pytest.raises(NothingToCutError, match=r"can be cut: no layer of torch\.nn makes any"):
        groups_by_flow(trace(Product(), example), example[:1])
