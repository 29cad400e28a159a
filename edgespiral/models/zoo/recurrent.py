"""Small recurrent classifiers, for text and for sound."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

EMBEDDED, TEXT_HIDDEN, TEXT_LAYERS = 96, 96, 2
SOUND_CHANNELS, SOUND_HIDDEN = 32, 96


class TextLSTM(nn.Module):
    """Embedding, two two-way LSTM layers, their maximum over time: (N, T) -> (N, classes).

    Args:
        classes: number of logits.
        token_count: token ids are below it.
    """

    def __init__(self, *, classes: int, token_count: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(token_count, EMBEDDED)
        self.lstm = nn.LSTM(
            EMBEDDED, TEXT_HIDDEN, TEXT_LAYERS, batch_first=True, bidirectional=True
        )
        self.fc = nn.Linear(2 * TEXT_HIDDEN, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.lstm(self.embedding(tokens))
        return cast("Tensor", self.fc(outputs.amax(1)))


class SoundGRU(nn.Module):
    """Two convolutions, a bidirectional GRU over frames, their mean: (N, C, F, T) -> (N, classes).

    Args:
        classes: number of logits.
        channels: C, 1 for one microphone.
        bands: F, the spectrogram's frequency bands.
    """

    def __init__(self, *, classes: int, channels: int, bands: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, SOUND_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(SOUND_CHANNELS)
        self.conv2 = nn.Conv2d(SOUND_CHANNELS, SOUND_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(SOUND_CHANNELS)
        self.relu = nn.ReLU()
        heights = -(-bands // 4)
        self.gru = nn.GRU(
            SOUND_CHANNELS * heights, SOUND_HIDDEN, batch_first=True, bidirectional=True
        )
        self.fc = nn.Linear(2 * SOUND_HIDDEN, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu(self.bn1(self.conv1(inputs)))
        maps = self.relu(self.bn2(self.conv2(maps)))
        outputs, _ = self.gru(maps.permute(0, 3, 1, 2).flatten(2))
        return cast("Tensor", self.fc(outputs.mean(1)))
