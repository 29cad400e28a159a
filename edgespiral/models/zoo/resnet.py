"""CIFAR-style residual networks (He et al. 2016, section 4.2)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

WIDTHS = (16, 32, 64)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, cin, H, W) -> (N, cout, H/stride, W/stride).

    Where the shape changes the shortcut is a 1x1 convolution (He et al. 2016, option B), so that
    its channels can be cut.
    """

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(inputs)))
        hidden = self.bn2(self.conv2(hidden))
        return cast("Tensor", self.relu(hidden + self.shortcut(inputs)))


class CifarResNet(nn.Module):
    """A residual network of depth 6n+2 for small images: (N, channels, H, W) -> (N, classes)."""

    def __init__(self, depth: int, *, classes: int, channels: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], blocks, stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], blocks, stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], blocks, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(WIDTHS[2], classes)
        _initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(inputs)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        return cast("Tensor", self.fc(self.flatten(self.pool(hidden))))


def _stage(cin: int, cout: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = Block(cin, cout, stride)
    return nn.Sequential(first, *(Block(cout, cout, 1) for _ in range(blocks - 1)))


def _initialise(model: nn.Module) -> None:
    """Initialisation of He et al. 2015, as the paper prescribes."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
