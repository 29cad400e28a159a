from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.attention import Windows
from edgespiral.prune.engines.flow.rewrite import explicit
from edgespiral.prune.prunable import PrunableModel, cut_to


class Attended(nn.Module):
    """Pictures with channels last, as Swin has them, through one attention."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.attention(inputs.permute(0, 2, 3, 1))


# Odd windows and sizes: padding on each side alone, on both, on none; one window down or across.
@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 11), (3, 9), (4, 4), (10, 6)])
@pytest.mark.parametrize("shift", [[0, 0], [2, 2]])
@pytest.mark.parametrize("kind", [ShiftedWindowAttention, ShiftedWindowAttentionV2])
def test_windows_of_any_size_are_written_out(kind, size, shift):
    torch.manual_seed(0)
    model = Attended(kind(8, [4, 4], shift, 2)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    inputs = torch.randn(2, 8, *size)
    written = explicit(trace(model), inputs[:1])
    assert "shifted_window_attention(" not in written.code
    assert torch.allclose(written(inputs), model(inputs), atol=1e-5)


def test_positions_that_only_the_shift_made_neighbours_are_apart():
    apart = Windows(8, 8, (4, 4), (2, 2)).apart()
    assert apart.shape == (1, 4, 1, 16, 16)
    assert not apart[0, 0].any()
    assert apart[0, 3, 0, 0].tolist() == [0, 0, -100, -100] * 2 + [-100] * 8


class SelfAttention(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.attention(inputs, inputs, inputs, need_weights=False)[0]


@pytest.mark.parametrize("bias", [True, False])
def test_multi_head_attention_is_written_out(bias):
    torch.manual_seed(0)
    model = SelfAttention(bias=bias).eval()
    inputs = torch.randn(3, 5, 8)
    written = explicit(trace(model), inputs[:1])
    assert isinstance(written.get_submodule("attention.in_proj"), nn.Linear)
    assert torch.allclose(written(inputs), model(inputs), atol=1e-6)


def test_attention_of_another_kind_is_left_alone():
    model = trace(SelfAttention(add_zero_attn=True).eval())
    assert explicit(model, torch.randn(1, 5, 8)) is model


class Repeated(nn.Module):
    """One layer that is called several times, as ALBERT and the Universal Transformer do."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.inlet, self.layer, self.head = nn.Linear(8, 32), layer, nn.Linear(32, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = self.inlet(inputs)
        for _ in range(2):
            x = self.layer(x)
        return self.head(x.mean(1))


class Looks(nn.Module):
    """An attention layer that is called in one or in several ways."""

    def __init__(self, *ways: str) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.ways = ways

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for way in self.ways:
            key = x.flip(1) if way == "elsewhere" else x
            x, shares = self.attention(x, key, key)
            if way == "shares":
                x = x * (1 + shares.mean())
        return x


@pytest.mark.parametrize(
    "layer",
    [
        nn.TransformerEncoderLayer(32, 4, 48, batch_first=True),
        Looks("itself", "itself"),
        Looks("itself", "elsewhere"),
    ],
    ids=["encoder layer", "itself", "elsewhere too"],
)
def test_attention_that_is_called_several_times_loses_heads(layer):
    torch.manual_seed(0)
    model = Repeated(layer).eval()
    source = PrunableModel.of(trace(model, torch.randn(4, 5, 8)), (5, 8))
    assert any("_proj" in group.name for group in source.groups)
    widths = {g.name: g.sub_groups * (g.units // 2) for g in source.groups}
    cut = cut_to(source, widths, {g.name: torch.rand(g.channels) for g in source.groups}, "auto")
    assert cut.difference < 1e-9


def test_attention_that_is_also_called_in_another_way_is_left_alone():
    torch.manual_seed(0)
    model = Repeated(Looks("itself", "shares")).eval()
    source = explicit(trace(model, torch.randn(4, 5, 8)), torch.randn(1, 5, 8))
    assert isinstance(source.get_submodule("layer.attention"), nn.MultiheadAttention)


class Padded(nn.Module):
    """Attention that leaves out what its input marks as padding, with a mask besides or without."""

    def __init__(self, mask: torch.Tensor | None, *, is_bool: bool) -> None:
        super().__init__()
        self.inlet, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 4, batch_first=True)
        self.mask, self.is_bool = mask, is_bool

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        padding = inputs[..., 0] > 1
        if not self.is_bool:
            padding = torch.where(padding, -9.0, 0.0)
        x = self.inlet(inputs)
        masks = {"key_padding_mask": padding, "attn_mask": self.mask, "need_weights": False}
        return self.head(self.attention(x, x, x, **masks)[0].mean(1))


CAUSAL = torch.ones(5, 5).triu(1)


@pytest.mark.parametrize("is_bool", [True, False], ids=["truth values", "numbers"])
@pytest.mark.parametrize(
    "mask", [None, CAUSAL.bool(), -9 * CAUSAL], ids=["no mask", "truth values", "numbers"]
)
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
def test_attention_with_padding_loses_heads(mask, is_bool):
    torch.manual_seed(0)
    model = Padded(mask, is_bool=is_bool).eval()
    source = PrunableModel.of(trace(model, torch.randn(4, 5, 8)), (5, 8))
    widths = {g.name: g.sub_groups * (g.units // 2) for g in source.groups}
    cut = cut_to(source, widths, {g.name: torch.rand(g.channels) for g in source.groups}, "auto")
    assert cut.model.get_submodule("attention.in_proj").out_features == 12
    assert cut.difference < 1e-9
