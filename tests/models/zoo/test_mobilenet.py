from __future__ import annotations

import torch

from edgespiral.models.zoo.mobilenet import STAGES, mobilenetv2_small


def test_it_takes_small_images_of_any_channel_count():
    for channels, side in ((1, 28), (3, 32), (3, 64)):
        model = mobilenetv2_small(classes=7, channels=channels)
        assert model(torch.zeros(2, channels, side, side)).shape == (2, 7)


def test_it_has_the_blocks_that_its_table_says():
    model = mobilenetv2_small(classes=10, channels=1)
    blocks = [m for m in model.modules() if type(m).__name__ == "InvertedResidual"]
    assert len(blocks) == sum(count for _, _, count, _ in STAGES)
    depthwise = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == len(blocks)
