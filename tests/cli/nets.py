"""Models and data that a user might bring, for the command line to refuse."""

import torch
from torch import nn
from torch.utils.data import TensorDataset


def data():
    part = TensorDataset(torch.randn(40, 1, 8, 8), torch.arange(40) % 4)
    return {"train": part, "validation": part, "test": part, "classes": list("abcd")}


def unlabelled():
    return {**data(), "train": TensorDataset(torch.randn(40, 1, 8, 8))}


def text():
    part = TensorDataset(torch.randint(0, 9, (40, 6)), torch.arange(40) % 4)
    parts = dict.fromkeys(("train", "validation", "test"), part)
    return {**parts, "classes": list("abcd"), "token_count": 9}


def net(width=33):
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4)),
    )


def batch_statistics():
    """Takes its statistics from the batch in eval mode, too."""
    return nn.Sequential(
        *(nn.Conv2d(1, 33, 3), nn.BatchNorm2d(33, track_running_stats=False), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(33, 4)),
    )


def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


class Reader(nn.Module):
    """Tokens (N, T) -> the mean of a recurrent layer's outputs -> logits."""

    def __init__(self, layer: nn.RNNBase, features: int = 8) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(9, 8), layer, nn.Linear(features, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.embed(tokens))[0].mean(1))


def projected():
    return Reader(nn.LSTM(8, 16, batch_first=True, proj_size=8))


class Packing(Reader):
    """The same, with packed sequences."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        lengths = torch.full((len(tokens),), 6)
        embedded = self.embed(tokens)
        packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True)
        outputs, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(outputs.mean(1))


def packing():
    return Packing(nn.GRU(8, 8, batch_first=True))
