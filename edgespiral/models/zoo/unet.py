"""A small U-Net, and torchvision's LR-ASPP head: (N, C, H, W) -> (N, classes, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64, 128)


class UNet(nn.Module):
    """Ronneberger et al. 2015, with batch norms, padded convolutions and narrow layers.

    Args:
        classes: logits a pixel.
        channels: of the image.
        widths: channels at each resolution, the finest first; sides are multiples of
            2 ** (len(widths) - 1).
    """

    def __init__(self, *, classes: int, channels: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.down = nn.ModuleList(map(_double, inputs, widths))
        self.pool = nn.MaxPool2d(2)
        finer, coarser = widths[-2::-1], widths[:0:-1]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(below, here, 2, stride=2)
            for below, here in zip(coarser, finer, strict=True)
        )
        self.merge = nn.ModuleList(_double(2 * here, here) for here in finer)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        skipped = []
        features = images
        for depth, block in enumerate(self.down):
            features = block(features if depth == 0 else self.pool(features))
            skipped.append(features)
        for up, merge, skip in zip(self.up, self.merge, skipped[-2::-1], strict=True):
            features = merge(torch.cat([up(features), skip], dim=1))
        outputs: Tensor = self.head(features)
        return outputs


class Scaled(nn.Module):
    """A torchvision segmenter's own parts, that return logits as large as the image alone.

    Args:
        backbone: makes a mapping of features.
        classifier: makes logits of it, at a lower resolution.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier = backbone, classifier

    def forward(self, images: Tensor) -> Tensor:
        small = self.classifier(self.backbone(images))
        return F.interpolate(small, size=images.shape[-2:], mode="bilinear", align_corners=False)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_layer(inputs, outputs), *_layer(outputs, outputs))


def _layer(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
