"""A small MobileNetV2 for images of 28 to 64 pixels (Sandler et al. 2018, section 4)."""

from __future__ import annotations

from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops import Conv2dNormActivation

# expansion, output channels, blocks, stride of the first block; a quarter of the original depth.
STAGES = ((1, 16, 1, 1), (4, 24, 2, 1), (4, 32, 3, 2), (4, 64, 2, 2))
STEM, HEAD = 16, 256


def mobilenetv2_small(*, classes: int, channels: int) -> nn.Module:
    """Inverted residuals with a stem of stride 1: (N, channels, H, W) -> (N, classes)."""
    layers: list[nn.Module] = [_conv(channels, STEM, kernel_size=3)]
    width = STEM
    for expansion, out, blocks, stride in STAGES:
        for index in range(blocks):
            layers.append(InvertedResidual(width, out, stride if index == 0 else 1, expansion))
            width = out
    layers.append(_conv(width, HEAD, kernel_size=1))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(HEAD, classes)]
    return nn.Sequential(*layers, *head)


def _conv(cin: int, cout: int, *, kernel_size: int) -> nn.Module:
    layer: nn.Module = Conv2dNormActivation(
        cin, cout, kernel_size=kernel_size, activation_layer=nn.ReLU6
    )
    return layer
