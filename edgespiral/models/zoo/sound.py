"""Small classifiers of sound: of log-mel features (N, 1, bands, frames), or of waveforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from edgespiral.core import audio
from edgespiral.core.errors import UsageError
from edgespiral.models.zoo.recurrent import SoundGRU

if TYPE_CHECKING:
    from collections.abc import Callable

DS_CHANNELS, DS_BLOCKS = 64, 4
GRU_HIDDEN = 128
CTC_CHANNELS, CTC_HIDDEN = 32, 128
# Channels, blocks, stride over bands and dilation over frames of each stage, of BC-ResNet-2.
BC_STEM, BC_HEAD = 32, 64
BC_STAGES = ((16, 2, 1, 1), (24, 2, 2, 2), (32, 4, 2, 4), (40, 4, 1, 8))


class LogMel(nn.Module):
    """Log-mel features inside of the model: waveforms (N, 1, samples) -> (N, 1, bands, frames).

    What `core.audio.log_mel` computes, of matrices that are no parameters: nothing of it is trained
    or cut, and it is a part of the file that ships and of the latency that is measured.

    Args:
        samples: length of the waveforms, whole hops.
        rate_hz: samples a second.

    Raises:
        UsageError: samples would be left over.
    """

    bases: Tensor
    filters: Tensor

    def __init__(self, samples: int, rate_hz: int) -> None:
        super().__init__()
        self.hop = audio.hop_samples(rate_hz)
        self.blocks = samples // self.hop
        if samples != audio.whole_samples(samples, rate_hz):
            raise UsageError(
                f"waveforms of {samples} samples are no whole hops of {self.hop}",
                where="model",
                hint=f"pad them to {audio.whole_samples(samples, rate_hz)}",
            )
        self.register_buffer("bases", torch.from_numpy(audio.fourier_bases(rate_hz)))
        self.register_buffer("filters", torch.from_numpy(audio.mel_filters(rate_hz)))

    def forward(self, waveforms: Tensor) -> Tensor:
        blocks = waveforms.reshape(-1, self.blocks, self.hop)
        frames = torch.cat([blocks[:, :-1], blocks[:, 1:]], 2)
        real, imaginary = torch.matmul(frames, self.bases).chunk(2, 2)
        power = torch.matmul(real * real + imaginary * imaginary, self.filters)
        features = (torch.log(power + audio.FLOOR) + audio.SHIFT) * audio.SCALE
        return features.transpose(1, 2).unsqueeze(1)


class OnWaveforms(nn.Module):
    """A model of log-mel features that takes waveforms: (N, 1, samples) -> what it returns.

    Args:
        front: makes the features.
        model: takes them.
    """

    def __init__(self, front: LogMel, model: nn.Module) -> None:
        super().__init__()
        self.front, self.model = front, model

    def forward(self, waveforms: Tensor) -> Tensor:
        return cast("Tensor", self.model(self.front(waveforms)))


def ds_cnn(*, classes: int, channels: int) -> nn.Module:
    """Depthwise separable convolutions: (N, channels, bands, frames) -> (N, classes).

    Source: Zhang et al. 2017, "Hello Edge", table 7 (DS-CNN-S), as MLPerf Tiny takes it.
    """
    width = DS_CHANNELS
    layers = [*_conv(channels, width, (4, 10), stride=2, padding=(1, 4))]
    for _ in range(DS_BLOCKS):
        layers += _conv(width, width, 3, padding=1, groups=width)
        layers += _conv(width, width, 1)
    head = [nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
    return nn.Sequential(*layers, *head)


class KeywordGRU(nn.Module):
    """One GRU over frames, its mean: (N, 1, bands, frames) -> (N, classes).

    Source: Zhang et al. 2017, "Hello Edge", section 3.2.4, with the mean of all outputs in place of
    the last.

    Args:
        classes: number of logits.
        bands: of the features.
    """

    def __init__(self, *, classes: int, bands: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(bands)
        self.gru = nn.GRU(bands, GRU_HIDDEN, batch_first=True)
        self.fc = nn.Linear(GRU_HIDDEN, classes)

    def forward(self, features: Tensor) -> Tensor:
        frames = self.norm(features.flatten(1, 2)).transpose(1, 2)
        outputs, _ = self.gru(frames)
        return cast("Tensor", self.fc(outputs.mean(1)))


class BroadcastBlock(nn.Module):
    """(N, cin, bands, frames) -> (N, cout, bands / stride, frames).

    What two dimensions need is a convolution over bands; the rest is done on the mean over bands,
    over frames alone, and added to all bands.

    Source: Kim et al. 2021, "Broadcasted Residual Learning", figure 2, with batch norm where they
    have sub-spectral normalisation.
    """

    def __init__(self, cin: int, cout: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.enter: nn.Module = nn.Identity()
        if cin != cout:
            self.enter = nn.Sequential(*_conv(cin, cout, 1))
        self.has_shortcut = cin == cout
        self.bands = nn.Conv2d(
            cout, cout, (3, 1), (stride, 1), padding=(1, 0), groups=cout, bias=False
        )
        self.bands_norm = nn.BatchNorm2d(cout)
        self.frames = nn.Conv2d(
            cout,
            cout,
            (1, 3),
            padding=(0, dilation),
            dilation=(1, dilation),
            groups=cout,
            bias=False,
        )
        self.frames_norm = nn.BatchNorm2d(cout)
        self.swish = nn.SiLU()
        self.mix = nn.Conv2d(cout, cout, 1, bias=False)
        self.relu = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        wide = self.bands_norm(self.bands(self.enter(inputs)))
        narrow = self.frames_norm(self.frames(wide.mean(2, keepdim=True)))
        outputs = wide + self.mix(self.swish(narrow))
        if self.has_shortcut:
            outputs = outputs + inputs
        return cast("Tensor", self.relu(outputs))


class FrameSymbols(nn.Module):
    """Two convolutions and a two-way recurrent layer: (N, 1, bands, T) -> (N, T / 2, symbols).

    Logits for each frame, as connectionist temporal classification takes them.

    Args:
        symbols: with the blank.
        bands: of the features.
        kind: of recurrent layer.
    """

    def __init__(self, *, symbols: int, bands: int, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        width = CTC_CHANNELS
        self.conv = nn.Sequential(
            *_conv(1, width, 5, stride=2, padding=2),
            *_conv(width, width, 3, stride=(2, 1), padding=1),
        )
        heights = -(-bands // 4)
        self.rnn = kind(width * heights, CTC_HIDDEN, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * CTC_HIDDEN, symbols)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.conv(features)
        outputs, _ = self.rnn(maps.permute(0, 3, 1, 2).flatten(2))
        return cast("Tensor", self.fc(outputs))


def bc_resnet(*, classes: int, channels: int) -> nn.Module:
    """BC-ResNet-2: (N, channels, bands, frames) -> (N, classes).

    Source: Kim et al. 2021, "Broadcasted Residual Learning", table 1.
    """
    layers = [*_conv(channels, BC_STEM, 5, stride=(2, 1), padding=2)]
    width = BC_STEM
    for out, blocks, stride, dilation in BC_STAGES:
        for index in range(blocks):
            layers.append(BroadcastBlock(width, out, stride if index == 0 else 1, dilation))
            width = out
    layers += [
        nn.Conv2d(width, width, 5, padding=(0, 2), groups=width, bias=False),
        *_conv(width, BC_HEAD, 1),
    ]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(BC_HEAD, classes)
    )


MODELS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "bc-resnet": lambda classes, channels, _: bc_resnet(classes=classes, channels=channels),
    "ctc-gru": lambda symbols, _, bands: FrameSymbols(symbols=symbols, bands=bands, kind=nn.GRU),
    "ctc-lstm": lambda symbols, _, bands: FrameSymbols(symbols=symbols, bands=bands, kind=nn.LSTM),
    "ds-cnn": lambda classes, channels, _: ds_cnn(classes=classes, channels=channels),
    "gru-kws": lambda classes, _, bands: KeywordGRU(classes=classes, bands=bands),
    "gru-sound": lambda classes, channels, bands: SoundGRU(
        classes=classes, channels=channels, bands=bands
    ),
}


def build(
    name: str, *, classes: int, input_shape: tuple[int, ...], sample_rate_hz: int | None
) -> nn.Module:
    """A freshly initialised model of `MODELS`.

    Args:
        name: which.
        classes: number of logits.
        input_shape: (channels, bands, frames) of features, or (1, samples) of waveforms.
        sample_rate_hz: of waveforms; with it the features are made inside of the model.

    Raises:
        UsageError: the inputs are neither, or too small.
    """
    if sample_rate_hz is not None and len(input_shape) == 2:
        front = LogMel(input_shape[1], sample_rate_hz)
        return OnWaveforms(front, MODELS[name](classes, 1, audio.BANDS))
    if len(input_shape) != 3:
        raise UsageError(
            f"{name} takes (channels, bands, frames), or waveforms with their sample rate, and the "
            f"data has {input_shape}",
            where="model",
        )
    return MODELS[name](classes, input_shape[0], input_shape[1])


def _conv(
    cin: int,
    cout: int,
    size: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    groups: int = 1,
) -> list[nn.Module]:
    convolution = nn.Conv2d(cin, cout, size, stride, padding, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(cout), nn.ReLU()]
