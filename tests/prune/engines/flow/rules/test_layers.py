"""Layers of every kind between convolutions: half of each group goes, and the cut is proven."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.rules.operations import RULES
from edgespiral.prune.prunable import PrunableModel, cut_to

LAYERS = {
    "PReLU for all": nn.PReLU,
    "PReLU for each": lambda: nn.PReLU(8),
    "group norm": lambda: nn.GroupNorm(2, 8),
    "group norm over all": lambda: nn.GroupNorm(1, 8),
    "instance norm": lambda: nn.InstanceNorm2d(8, affine=True),
    "transposed": lambda: nn.ConvTranspose2d(8, 8, 2, 2),
    "transposed in groups": lambda: nn.ConvTranspose2d(8, 8, 2, 2, groups=2),
    "transposed depthwise": lambda: nn.ConvTranspose2d(8, 8, 2, 2, groups=8),
    "several filters a channel": lambda: nn.Conv2d(8, 16, 3, padding=1, groups=8),
    "several channels a filter": lambda: nn.Conv2d(8, 4, 3, padding=1, groups=4),
    "grouped": lambda: nn.Conv2d(8, 12, 3, padding=1, groups=2),
    "gated": lambda: nn.GLU(1),
    "shuffled to pixels": lambda: nn.PixelShuffle(2),
    "shuffled to channels": lambda: nn.PixelUnshuffle(2),
    "flat and back": lambda: nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (6, 6))),
    "patches": lambda: nn.Sequential(nn.Unfold(2, stride=2), nn.Fold((6, 6), 2, stride=2)),
}
OUTPUTS = {"several filters a channel": 16, "several channels a filter": 4, "grouped": 12,
           "gated": 4, "shuffled to pixels": 2, "shuffled to channels": 32}  # fmt: skip


def lively(model):
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.3, 0.5)
    return model.eval()


def half_of(model, shape):
    """Cut half of each group by the engine that `auto` takes."""
    source = PrunableModel.of(trace(model), shape)
    scores = {g.name: torch.rand(g.channels) for g in source.groups}
    widths = {g.name: g.sub_groups * max(1, g.units // 2) for g in source.groups}
    return source, cut_to(source, widths, scores, "auto")


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_between_convolutions_loses_half(name):
    between = LAYERS[name]()
    outputs = OUTPUTS.get(name, 8)
    model = lively(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), between, nn.Conv2d(outputs, 3, 1)))
    source, cut = half_of(model, (3, 6, 6))
    assert source.groups[0].name == "0"
    assert cut.difference < 1e-9
    assert cut.model.get_submodule("0").out_channels == 4
    assert cut.model.get_submodule("2").in_channels == outputs // 2


VOLUMES = {
    "a line": (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.ConvTranspose1d, (3, 16)),
    "a volume": (nn.Conv3d, nn.BatchNorm3d, nn.AvgPool3d, nn.ConvTranspose3d, (3, 8, 8, 8)),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_other_dimensions_are_cut_alike(name):
    conv, norm, pool, up, shape = VOLUMES[name]
    layers = (conv(3, 8, 3, padding=1), norm(8), nn.ReLU(), pool(2), up(8, 6, 2, 2), conv(6, 2, 1))
    source, cut = half_of(lively(nn.Sequential(*layers)), shape)
    assert [(g.name, g.channels) for g in source.groups] == [("0", 8), ("4", 6)]
    assert cut.difference < 1e-9


class Rnn(nn.Module):
    """Convolutions under a layer that has no rule."""

    def __init__(self, kind, **options):
        super().__init__()
        self.convs = nn.Sequential(nn.Conv1d(4, 16, 3), nn.ReLU(), nn.Conv1d(16, 8, 3), nn.ReLU())
        self.rnn, self.head = kind(8, 6, batch_first=True, **options), nn.Linear(6, 3)
        self.head = nn.Linear(options.get("proj_size", 6), 3)

    def forward(self, x):
        return self.head(self.rnn(self.convs(x).transpose(1, 2))[0][:, -1])


def test_a_recurrent_layer_that_cannot_be_cut_is_kept_and_told():
    source, cut = half_of(lively(Rnn(nn.LSTM, proj_size=2)), (4, 12))
    assert [group.name for group in source.groups] == ["convs.0"]
    assert cut.difference < 1e-9
    assert source.uncuttable["convs.2"] == (8, "are not followed through (LSTM rnn)")


class Translator(nn.Module):
    """A decoder that starts from what an encoder ended with."""

    def __init__(self, kind):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.encoder, self.decoder = (kind(8, 6, batch_first=True) for _ in range(2))
        self.head = nn.Linear(6, 3)

    def forward(self, ids):
        _, state = self.encoder(self.embed(ids[:, :5]))
        return self.head(self.decoder(self.embed(ids[:, 5:]), state)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_a_given_state_couples_the_units_of_two_layers(kind):
    source = PrunableModel.of(trace(lively(Translator(kind))), (9,), token_count=20)
    assert [(g.name, g.channels) for g in source.groups] == [("embed", 8), ("encoder", 6)]
    widths, scores = {"embed": 4, "encoder": 3}, {"embed": torch.rand(8), "encoder": torch.rand(6)}
    cut = cut_to(source, widths, scores, "auto")
    assert cut.difference < 1e-9
    assert (cut.model.encoder.hidden_size, cut.model.decoder.hidden_size) == (3, 3)


class Reduced(nn.Module):
    """Sizes that are read off one tensor and stated for another, as in pyramid transformers."""

    def __init__(self):
        super().__init__()
        self.inlet, self.norm, self.reduce = nn.Conv2d(3, 8, 1), nn.LayerNorm(8), nn.Conv2d(8, 8, 2)
        self.wide, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        rows = self.norm(self.inlet(x).flatten(2).transpose(1, 2))
        n, _, c = rows.shape
        pictures = self.reduce(rows.transpose(1, 2).reshape(n, c, 6, 6))
        seen = self.wide(pictures.reshape(n, c, -1).transpose(1, 2))[..., : c // 2]
        return self.head(torch.cat([seen, seen.relu()], 2).mean(1))


def test_a_size_of_one_tensor_does_not_follow_the_cut_of_another():
    source = PrunableModel.of(trace(lively(Reduced())), (3, 6, 6))
    whole = {g.name: g.channels for g in source.groups}
    assert {"inlet": 8, "reduce": 8}.items() <= whole.items()
    scores = {g.name: torch.rand(g.channels) for g in source.groups}
    cut = cut_to(source, {**whole, "inlet": 4}, scores, "auto")
    assert cut.difference < 1e-9
    assert cut.model.get_submodule("reduce").out_channels == 8


class Selected(nn.Module):
    """Two paths weighed against each other (Li et al. 2019, "Selective kernel networks")."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze, self.select = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 16, 1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        paths = torch.stack([self.one(x), self.other(x)], 1)
        squeezed = self.squeeze(paths.sum(1).mean((2, 3), keepdim=True))
        shares = self.select(squeezed).reshape(-1, 2, 8, 1, 1).softmax(1)
        return self.head((paths * shares).sum(1))


def test_paths_that_are_stacked_and_summed_leave_together():
    source, cut = half_of(lively(Selected()), (3, 6, 6))
    assert {g.units for g in source.groups} == {8, 4}
    assert cut.difference < 1e-9
    assert cut.model.get_submodule("select").out_channels == 8


class ClassToken(nn.Module):
    """One token that attends and others that do not, scaled together (Touvron et al. 2021)."""

    def __init__(self):
        super().__init__()
        self.inlet, self.attend, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.rand(8))

    def forward(self, x):
        x = self.inlet(x)
        attended = torch.cat([self.attend(x.mean(1, keepdim=True)), x[:, 1:]], 1)
        return self.head((x + self.scale * attended).mean(1))


def test_rows_that_are_tied_only_later_are_scaled_channel_by_channel():
    source, cut = half_of(lively(ClassToken()), (5, 6))
    assert [(g.name, g.channels) for g in source.groups] == [("inlet", 8)]
    assert cut.difference < 1e-9
    assert cut.model.scale.shape == (4,)


class Tiles(nn.Module):
    """Positions put in another order, as windows are, while channels leave (Ryali et al. 2023)."""

    def __init__(self):
        super().__init__()
        self.inlet, self.second, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.inlet(x)
        x = x.view(-1, 2, 2, 2, 2, 8).transpose(2, 3).reshape(-1, 16, 8)
        return self.head((self.second(x) * torch.arange(16)[:, None]).mean(1))


def test_positions_in_another_order_all_stay():
    source, cut = half_of(lively(Tiles()), (16, 6))
    assert {g.name for g in source.groups} == {"inlet", "second"}
    assert source.uncuttable.keys() == {"head"}
    assert cut.difference < 1e-9


class Mixing(nn.Module):
    """Positions mixed while channels ride along."""

    def __init__(self, mix):
        super().__init__()
        self.inlet, self.mix, self.second, self.head = (
            nn.Linear(6, 8), mix, nn.Linear(8, 8), nn.Linear(8, 3),
        )  # fmt: skip

    def forward(self, x):
        x = self.inlet(x)
        return self.head(self.second(x + self.mix(x)).mean(1))


class Turned(nn.Module):
    """A layer over positions (Tolstikhin et al. 2021, "MLP-Mixer")."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))

    def forward(self, x):
        return self.tokens(x.transpose(1, 2)).transpose(1, 2)


class Edges(nn.Module):
    """Nodes mixed along a graph's edges."""

    def __init__(self):
        super().__init__()
        self.register_buffer("edges", torch.rand(16, 16))

    def forward(self, x):
        return torch.matmul(self.edges, x) + (x.transpose(1, 2) @ self.edges).transpose(1, 2)


@pytest.mark.parametrize("mix", [Turned, lambda: nn.Conv1d(16, 16, 1), Edges])
def test_positions_are_mixed_while_channels_leave(mix):
    source, cut = half_of(lively(Mixing(mix())), (16, 6))
    assert {g.name for g in source.groups} == {"inlet", "second"}
    assert cut.difference < 1e-9
    assert cut.model.get_submodule("inlet").out_features == 4


def test_what_no_rule_foresaw_stays_whole(monkeypatch):
    def fail(*_):
        raise IndexError

    monkeypatch.setitem(RULES, torch.relu, fail)
    source, _ = half_of(lively(Mixing(nn.Sequential(Edges(), Relu()))), (16, 6))
    assert {g.name for g in source.groups} == {"second"}
    assert "are not followed through (relu" in source.uncuttable["inlet"][1]


class Relu(nn.Module):
    """A function by its own name."""

    def forward(self, x):
        return torch.relu(x)
