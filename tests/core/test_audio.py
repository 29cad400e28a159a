import numpy as np
import pytest

from edgespiral.core import audio

RATE_HZ = 8000


def test_a_spectrum_is_that_of_the_fourier_transform_under_a_hann_window():
    window = 2 * audio.hop_samples(RATE_HZ)
    frame = np.random.default_rng(0).standard_normal(window).astype(np.float32)
    real, imaginary = np.split(frame @ audio.fourier_bases(RATE_HZ), 2)
    places = np.arange(window)
    expected = np.fft.rfft(frame * (0.5 - 0.5 * np.cos(2 * np.pi * places / window)))
    np.testing.assert_allclose(real, expected.real, atol=1e-3)
    np.testing.assert_allclose(imaginary, -expected.imag, atol=1e-3)


@pytest.mark.parametrize("hertz", [300, 1000, 3000])
def test_a_tone_is_loudest_in_the_band_that_it_is_in(hertz):
    samples = audio.whole_samples(4000, RATE_HZ)
    tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE_HZ)
    bands = audio.log_mel(tone.astype(np.float32), RATE_HZ).mean(1)
    frequencies = np.linspace(0, RATE_HZ / 2, audio.hop_samples(RATE_HZ) + 1)
    peaks = frequencies[audio.mel_filters(RATE_HZ).argmax(0)]
    assert abs(peaks[bands.argmax()] - hertz) < 0.12 * hertz + 40


def test_silence_is_finite_and_the_lowest():
    silence = audio.log_mel(np.zeros(audio.whole_samples(4000, RATE_HZ), np.float32), RATE_HZ)
    assert np.isfinite(silence).all()
    assert silence.max() < -1


@pytest.mark.parametrize(("samples", "rate_hz"), [(8000, 8000), (16000, 16000), (1, 8000)])
def test_lengths_are_whole_hops_and_frames_fit(samples, rate_hz):
    whole = audio.whole_samples(samples, rate_hz)
    assert whole >= samples
    assert whole % audio.hop_samples(rate_hz) == 0
    features = audio.log_mel(np.zeros(whole, np.float32), rate_hz)
    assert features.shape == (audio.BANDS, audio.frame_count(whole, rate_hz))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
def test_every_band_hears_something(rate_hz):
    assert (audio.mel_filters(rate_hz).sum(0) > 0).all()
