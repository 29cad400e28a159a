"""Log-mel features of sound: their constants, and the features themselves.

One definition for data that are made into features before a model sees them, and for models that
make them of waveforms themselves (`models.zoo.sound.LogMel`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Windows overlap by half.
WINDOW_S = 0.032
BANDS = 40
LOWEST_HZ = 20.0
# Below what 16 bits resolve, so that silence has a finite logarithm.
FLOOR = 1e-6
# Brings the features of speech to about -1 to 1.
SHIFT, SCALE = 4.0, 0.2


def hop_samples(rate_hz: int) -> int:
    """Samples from one frame to the next: half a window of 32 ms."""
    return max(1, round(rate_hz * WINDOW_S / 2))


def frame_count(samples: int, rate_hz: int) -> int:
    """Frames of so many samples, as many whole hops less one."""
    return samples // hop_samples(rate_hz) - 1


def whole_samples(samples: int, rate_hz: int) -> int:
    """The next number of samples from `samples` up of which frames leave none over."""
    hop = hop_samples(rate_hz)
    return max(2, -(-samples // hop)) * hop


def fourier_bases(rate_hz: int) -> NDArray[np.float32]:
    """Cosines and sines under a Hann window, (window, 2 * bins): frames times it are a spectrum."""
    window = 2 * hop_samples(rate_hz)
    places = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * places / window)
    angles = 2 * np.pi * np.outer(places, np.arange(window // 2 + 1)) / window
    return np.concatenate(
        [hann[:, None] * np.cos(angles), hann[:, None] * np.sin(angles)], axis=1
    ).astype(np.float32)


def mel_filters(rate_hz: int, bands: int = BANDS) -> NDArray[np.float32]:
    """Triangles that add up bins to bands, (bins, bands), evenly spaced on the mel scale.

    Source: O'Shaughnessy 1987, "Speech Communication", p. 150; the peaks are 1, as in HTK.
    """
    bins = hop_samples(rate_hz) + 1
    frequencies = np.linspace(0, rate_hz / 2, bins)
    edges = _hertz(np.linspace(_mel(LOWEST_HZ), _mel(rate_hz / 2), bands + 2))
    rising = (frequencies[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - frequencies[:, None]) / np.diff(edges)[1:]
    filters: NDArray[np.float32] = np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)
    return filters


def log_mel(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """Features (BANDS, frames) of a waveform (samples,) in -1..1 of whole hops.

    Example:
        >>> log_mel(np.zeros(whole_samples(8000, 8000), np.float32), 8000).shape
        (40, 62)
    """
    blocks = samples.reshape(-1, hop_samples(rate_hz))
    frames = np.concatenate([blocks[:-1], blocks[1:]], axis=1)
    real, imaginary = np.split(frames @ fourier_bases(rate_hz), 2, axis=1)
    power = (real**2 + imaginary**2) @ mel_filters(rate_hz)
    features = (np.log(power + FLOOR) + SHIFT) * SCALE
    return np.ascontiguousarray(features.T, np.float32)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return 700 * (10 ** (mels / 2595) - 1)
