"""Preparations as graphs, against what makes the samples."""

import io

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from edgespiral.core import audio
from edgespiral.core.stages.frames import Clip, Frames, ScaledPicture, Standardised
from edgespiral.core.stages.graph import ANY, StageGraph

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def made(preparation, frame):
    graph = StageGraph()
    graph.output("made", preparation.add(graph, graph.frame(frame[None]), frame.shape), np.float32)
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    # Whatever a runtime makes up for its input.
    [one], [other] = (session.run(None, {ANY: np.full(1, at, np.float32)}) for at in (0, 7.5))
    assert np.array_equal(one, other)
    return one


def photo(width, height):
    """Smooth with edges, as photographs are."""
    across, down = np.meshgrid(np.linspace(0, 9, width), np.linspace(0, 7, height))
    waves = [np.sin(across), np.cos(down), np.sign(np.sin(across * down))]
    return (127 + 120 * np.stack(waves, -1)).astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), [(97, 61), (40, 55), (24, 20)])
@pytest.mark.parametrize(("filter_", "pillow"), [("linear", "BILINEAR"), ("cubic", "BICUBIC")])
def test_pictures_are_scaled_as_pillow_scales_them(width, height, filter_, pillow):
    pixels, preparation = photo(width, height), ScaledPicture((32, 24), filter_, MEAN, STD)
    scaled = Image.fromarray(pixels).resize((32, 24), Image.Resampling[pillow])
    expected = (np.asarray(scaled) / 255 - MEAN) / STD
    off = np.abs(made(preparation, pixels) - expected.transpose(2, 0, 1)[None])
    assert off.mean() < preparation.tolerance / 2
    # Hard edges overshoot, and are clipped at another moment.
    assert np.quantile(off, 0.9) <= preparation.tolerance


@pytest.mark.parametrize("shape", [(97, 61), (61, 97), (64, 64)])
def test_a_picture_is_cropped_in_its_middle(shape):
    from torchvision.transforms import v2

    pixels, preparation = photo(*shape), ScaledPicture((32, 32), "linear", MEAN, STD, edge=37)
    plain = v2.Compose([v2.Resize(37), v2.CenterCrop(32)])(Image.fromarray(pixels))
    expected = ((np.asarray(plain) / 255 - MEAN) / STD).transpose(2, 0, 1)
    assert np.abs(made(preparation, pixels)[0] - expected).max() <= preparation.tolerance


@pytest.mark.parametrize("length", [700, 4_096, 6_000])
@pytest.mark.parametrize("rate_hz", [None, 8_000])
def test_sounds_are_clipped_and_made_into_features(length, rate_hz):
    samples = audio.whole_samples(4_000, 8_000)
    sound = np.random.default_rng(0).integers(-9_000, 9_000, length, np.int16)
    begin = (samples - length) // 2
    clip = np.zeros(samples, np.float32)
    first, last = max(0, begin), min(samples, begin + length)
    clip[first:last] = sound[first - begin : last - begin] / np.float32(32768)
    expected = clip if rate_hz is None else audio.log_mel(clip, rate_hz)
    preparation = Clip(samples, rate_hz)
    values = made(preparation, sound)
    assert values.shape == (1, 1, *expected.shape)
    assert np.abs(values[0, 0] - expected).max() <= preparation.tolerance


def test_stored_values_are_standardised():
    values = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    expected = (values - np.array([[[1.0]], [[2.0]]])) / np.array([[[2.0]], [[4.0]]])
    assert made(Standardised((1.0, 2.0), (2.0, 4.0)), values)[0] == pytest.approx(expected)


def test_the_frame_is_the_file_of_middling_size(tmp_path):
    files = []
    for name, size in (("large", 90), ("small", 10), ("middling", 40)):
        content = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(content, "PNG")
        files.append(tmp_path / f"{name}.png")
        files[-1].write_bytes(content.getvalue())
    frames = Frames("picture", ScaledPicture((8, 8), "cubic", MEAN, STD), tuple(files))
    assert (frames.index, frames.file) == (2, files[2])
    assert frames.decoded().shape == (40, 40, 3)
