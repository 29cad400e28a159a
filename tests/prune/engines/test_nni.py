from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.prune.engines.nni import NniCutter, output_masks, smallest_example
from edgespiral.prune.groups import ChannelGroup, Slot, find_groups


def test_masks_cover_weights_and_biases_of_the_producers(concatenated, example):
    groups = find_groups(concatenated, example)
    kept = {group.name: list(range(group.channels)) for group in groups} | {"depthwise": [0, 7, 8]}
    masks = output_masks(concatenated, groups, kept)
    assert set(masks) == {"left", "right", "depthwise"}
    assert masks["left"]["weight"].sum((1, 2, 3)).tolist() == [27.0, 0, 0, 0, 0, 0, 0, 27.0]
    assert masks["right"]["bias"].tolist() == [1.0] + [0.0] * 11
    assert masks["depthwise"]["bias"].tolist() == [1.0] + [0.0] * 6 + [1.0, 1.0] + [0.0] * 11


def test_the_example_shrinks_to_what_the_model_still_takes():
    flexible = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    fixed = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4 * 96 * 96, 2))
    example = torch.randn(1, 3, 96, 96)
    assert smallest_example(flexible, example).shape == (1, 3, 32, 32)
    assert smallest_example(fixed, example).shape == example.shape


def test_the_global_random_state_is_left_alone(residual, example):
    groups = find_groups(residual, example)
    kept = {group.name: list(range(group.channels)) for group in groups} | {"stem": [1, 2]}
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    NniCutter().cut(residual, example, groups, kept)
    assert torch.equal(torch.rand(1), expected)


def test_what_nni_cannot_do_is_one_line(example):
    model = torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)))
    everything = Slot("0", torch.arange(4))
    group = ChannelGroup("0", 4, 1, (everything,), (Slot("1", torch.arange(4)),))
    with pytest.raises(ModelError, match="NNI cannot cut this architecture") as caught:
        NniCutter().cut(model, example, [group], {"0": []})
    assert "\n" not in str(caught.value)
    # In our words; what NNI says of itself is the cause.
    assert str(caught.value.__cause__) not in str(caught.value)
