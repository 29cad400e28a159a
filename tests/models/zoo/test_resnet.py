from __future__ import annotations

import pytest
import torch

from edgespiral.models.zoo.resnet import CifarResNet


@pytest.mark.parametrize("depth", [8, 20, 32, 56])
def test_depth_counts_the_weighted_layers_outside_shortcuts(depth):
    model = CifarResNet(depth, classes=10, channels=1)
    weighted = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and "shortcut" not in name
    ]
    assert len(weighted) == depth
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_stages_halve_the_image_and_double_the_channels():
    model = CifarResNet(20, classes=10, channels=3)
    hidden = model.layer1(torch.zeros(1, 16, 32, 32))
    assert hidden.shape == (1, 16, 32, 32)
    hidden = model.layer2(hidden)
    assert hidden.shape == (1, 32, 16, 16)
    assert model.layer3(hidden).shape == (1, 64, 8, 8)


def test_shortcuts_are_projections_only_where_the_shape_changes():
    model = CifarResNet(20, classes=10, channels=3)
    projected = [n for n, m in model.named_modules() if n.endswith("shortcut.0")]
    assert projected == ["layer2.0.shortcut.0", "layer3.0.shortcut.0"]
