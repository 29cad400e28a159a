"""Small networks that between them have every coupling that the engines must get right."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.models.saved import trace


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


class Sequence(nn.Module):
    """Token ids (N, T) -> embedding -> recurrent layers -> logits."""

    def __init__(self, kind: type[nn.RNNBase], read: str, **options: object) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 12)
        self.rnn = kind(12, 8, **options)
        self.hidden = nn.Linear(8 * (2 if self.rnn.bidirectional else 1), 10)
        self.head = nn.Linear(10, 3)
        self.read = read

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        embedded = self.embed(tokens)
        outputs, state = self.rnn(embedded if self.rnn.batch_first else embedded.transpose(0, 1))
        time = 1 if self.rnn.batch_first else 0
        if self.read == "mean":
            features = outputs.mean(time)
        elif self.read == "max":
            features = outputs.max(time).values
        elif self.read == "each":
            return self.head(F.relu(self.hidden(outputs)).mean(time))
        else:
            final = state[0] if isinstance(self.rnn, nn.LSTM) else state
            features = torch.cat([final[-2], final[-1]], 1) if self.rnn.bidirectional else final[-1]
        return self.head(F.relu(self.hidden(features)))


class Spectral(nn.Module):
    """A spectrogram (N, 1, F, T) -> convolutions -> flattened frames -> GRU -> logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.gru = nn.GRU(6 * 4, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = F.max_pool2d(self.depthwise(F.relu(self.bn(self.conv(inputs)))), (1, 2))
        frames = maps.permute(0, 3, 1, 2).flatten(2)
        return self.head(self.gru(frames)[0].mean(1))


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
def tokens() -> torch.Tensor:
    return torch.randint(0, 20, (1, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def sequence():
    """Makes a traced net of token ids."""

    def make(kind: type[nn.RNNBase], read: str = "last", **options: object):
        torch.manual_seed(0)
        return trace(Sequence(kind, read, **{"batch_first": True, **options}))

    return make


@pytest.fixture
def spectral() -> torch.fx.GraphModule:
    torch.manual_seed(0)
    return _lively(Spectral())


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
