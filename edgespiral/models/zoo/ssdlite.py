"""A small SSDlite for pictures of 96 to 256 pixels (Liu et al. 2016; Sandler et al. 2018)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops import Conv2dNormActivation

if TYPE_CHECKING:
    from collections.abc import Sequence

STEM = 16
# expansion, output channels, blocks and stride of the first, for the features at each resolution.
STAGES = (
    ((1, 16, 1, 2), (3, 24, 2, 1), (3, 32, 2, 2)),
    ((4, 64, 2, 2),),
    ((4, 96, 2, 2),),
)
# Sides of boxes as shares of the picture, from the finest features on; the last one ends the range.
SCALES = (0.07, 0.16, 0.36, 0.8)
# Beside square boxes in two sizes, such that are twice as wide as high, and the other way round.
RATIOS = (2,)


class Features(nn.Module):
    """Inverted residuals: images (N, channels, H, W) -> features at 1/8, 1/16 and 1/32.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = STEM
        stages = []
        for number, blocks in enumerate(STAGES):
            layers: list[nn.Module] = []
            if number == 0:
                stem = Conv2dNormActivation(channels, STEM, stride=2, activation_layer=nn.ReLU6)
                layers.append(stem)
            for expansion, out, count, stride in blocks:
                for index in range(count):
                    block = InvertedResidual(width, out, stride if index == 0 else 1, expansion)
                    layers.append(block)
                    width = out
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps, features = OrderedDict[str, Tensor](), images
        for number, stage in enumerate(self.stages):
            features = stage(features)
            maps[str(number)] = features
        return maps


def ssdlite_tiny(*, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """torchvision's SSD around a small backbone: 0.2 million parameters.

    Args:
        classes: of objects; the background is one more, column 0 of the logits.
        channels: of the images.
        size: height and width of the images.
    """
    widths = [stage[-1][1] for stage in STAGES]
    boxes = DefaultBoxGenerator([list(RATIOS) for _ in STAGES], scales=list(SCALES))
    anchors: Sequence[int] = boxes.num_anchors_per_location()
    head = SSDLiteHead(widths, anchors, classes + 1, nn.BatchNorm2d)
    model: nn.Module = SSD(Features(channels), boxes, size, classes + 1, head=head)
    return model
