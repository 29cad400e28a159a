from __future__ import annotations

import torch

from edgespiral.prune.groups import find_groups
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
