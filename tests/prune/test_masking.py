from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.prune.groups import ChannelGroup, Slot, find_groups
from edgespiral.prune.masking import gated, keep_gates


def test_gates_of_one_change_nothing_and_leave_no_hooks(residual, example):
    groups = find_groups(residual, example)
    kept = {group.name: list(range(group.channels)) for group in groups}
    plain = residual(example)
    with gated(residual, groups, keep_gates(groups, kept)):
        assert torch.equal(residual(example), plain)
    assert not any(module._forward_pre_hooks for module in residual.modules())


def test_a_closed_gate_hides_the_channel_from_every_consumer(residual, example):
    groups = find_groups(residual, example)
    kept = {group.name: list(range(group.channels)) for group in groups} | {"stem": [0]}
    seen = {}
    for layer in ("block1.conv1", "head"):
        residual.get_submodule(layer).register_forward_hook(
            lambda _m, inputs, _o, layer=layer: seen.__setitem__(layer, inputs[0])
        )
    with gated(residual, groups, keep_gates(groups, kept)):
        residual(example)
    assert seen["block1.conv1"][:, 1:].abs().sum() == 0
    assert seen["block1.conv1"][:, 0].abs().sum() > 0
    assert seen["head"][:, 1:].abs().sum() == 0


def test_gates_are_per_sample(concatenated, example):
    groups = find_groups(concatenated, example)
    gates = {group.name: torch.ones(2, group.channels) for group in groups}
    gates["high"][1] = 0.0
    both = example.expand(2, -1, -1, -1)
    with gated(concatenated, groups, gates):
        outputs = concatenated(both)
    assert torch.allclose(outputs[0], concatenated(example)[0], atol=1e-6)
    assert not torch.allclose(outputs[1], outputs[0])


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)
        self.two = nn.Linear(6, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.two(self.norm(self.one(inputs)))


@pytest.fixture
def normed():
    model = Normed().double()
    nn.init.normal_(model.norm.weight)
    nn.init.normal_(model.norm.bias)
    everything = torch.arange(6)
    slots = [Slot(layer, everything) for layer in ("one", "norm", "two")]
    return model, ChannelGroup("one", 6, 1, tuple(slots[:2]), tuple(slots[2:]))


def test_a_norm_over_channels_sees_only_open_gates(normed):
    model, group = normed
    kept, inputs = [0, 2, 3], torch.randn(5, 7, 4, dtype=torch.double)
    with gated(model, [group], keep_gates([group], {"one": kept})):
        found = model(inputs)
    hidden = F.layer_norm(
        model.one(inputs)[..., kept], (3,), model.norm.weight[kept], model.norm.bias[kept]
    )
    assert torch.allclose(found, F.linear(hidden, model.two.weight[:, kept], model.two.bias))
    with gated(model, [group], keep_gates([group], {"one": list(range(6))})):
        assert torch.allclose(model(inputs), model.forward(inputs), atol=1e-12)


def test_a_samples_windows_share_its_gates(normed):
    model, group = normed
    # Two samples of three windows each, one after the other.
    windows = torch.randn(6, 7, 4, dtype=torch.double)
    gates = torch.rand(2, 6, dtype=torch.double)
    with gated(model, [group], {"one": gates}):
        both = model(windows)
    with gated(model, [group], {"one": gates[1:]}):
        second = model(windows[3:])
    assert torch.allclose(both[3:], second)
