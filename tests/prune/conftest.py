"""Small networks that between them have every coupling that the engines must get right."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """A residual block with an inner group of its own."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = F.relu(self.bn1(self.conv1(inputs)))
        return F.relu(self.bn2(self.conv2(hidden)) + inputs)


class Residual(nn.Module):
    """Two residual blocks: one residual group, two inner ones, two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.block1 = Block(16, 24)
        self.block2 = Block(16, 8)
        self.head = nn.Linear(16, 5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self.block2(self.block1(F.relu(self.stem(inputs))))
        return self.head(features.mean((2, 3)))


class Concatenated(nn.Module):
    """Two concatenations, one read by a depthwise convolution that ties its parts; a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 8, 3, padding=1)
        self.right = nn.Conv2d(3, 12, 1)
        self.depthwise = nn.Conv2d(20, 20, 3, padding=1, groups=20)
        self.low = nn.Conv2d(20, 4, 1)
        self.high = nn.Conv2d(20, 6, 1)
        self.mix = nn.Conv2d(10, 6, 1)
        self.head = nn.Linear(6 * 8 * 8, 5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        both = torch.cat([F.relu(self.left(inputs)), F.relu(self.right(inputs))], 1)
        deep = F.relu(self.depthwise(both))
        again = torch.cat([F.relu(self.low(deep)), F.relu(self.high(deep))], 1)
        return self.head(torch.flatten(F.relu(self.mix(again)), 1))


class Grouped(nn.Module):
    """A grouped convolution, whose groups must lose the same channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.head = nn.Conv2d(16, 5, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.grouped(F.relu(self.stem(inputs))))).mean((2, 3))


def _lively(model: nn.Module) -> torch.fx.GraphModule:
    # Batch norms as training leaves them: a cut that forgets one shows in the outputs.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return torch.fx.symbolic_trace(model.eval())


@pytest.fixture
def example() -> torch.Tensor:
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def residual() -> torch.fx.GraphModule:
    torch.manual_seed(0)
    return _lively(Residual())


@pytest.fixture
def concatenated() -> torch.fx.GraphModule:
    torch.manual_seed(0)
    return _lively(Concatenated())


@pytest.fixture
def grouped() -> torch.fx.GraphModule:
    torch.manual_seed(0)
    return _lively(Grouped())
