import struct
import wave

import numpy as np
import pytest

from edgespiral.core.errors import DataError
from edgespiral.data.files.sounds import clip_samples, clipped, read_sound, read_sounds

VALUES = np.array([-32768, -256, 0, 256, 32512], np.int16)


def write(path, content, *, width=2, channels=1, rate_hz=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(content)
    return path


@pytest.mark.parametrize(
    ("width", "content"),
    [
        (1, (VALUES // 256 + 128).astype(np.uint8).tobytes()),
        (2, VALUES.astype("<i2").tobytes()),
        (3, b"".join(struct.pack("<i", int(v) << 16)[1:] for v in VALUES)),
        (4, (VALUES.astype("<i4") << 16).tobytes()),
    ],
)
def test_samples_of_every_width_are_the_same_sound(tmp_path, width, content):
    sound = read_sound(write(tmp_path / "a.wav", content, width=width))
    assert sound.rate_hz == 8000
    np.testing.assert_array_equal(sound.samples, VALUES)


def test_what_is_no_whole_wav_file_of_one_channel_is_told_by_its_name(tmp_path):
    whole = write(tmp_path / "whole.wav", bytes(2000)).read_bytes()
    floats = bytearray(whole)
    floats[20] = 3  # the code of floating-point samples
    bad = {
        "text.wav": (b"no sound at all", "is not a WAV file of PCM samples"),
        "nothing.wav": (b"", "is not a WAV file of PCM samples"),
        "float.wav": (bytes(floats), "is not a WAV file of PCM samples"),
        "short.wav": (whole[:-600], "is cut short: 700 of 1000 samples"),
    }
    for name, (content, message) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: {message}"):
            read_sound(tmp_path / name)
    with pytest.raises(DataError, match=r"2 channels, and one is taken.*ffmpeg"):
        read_sound(write(tmp_path / "stereo.wav", bytes(800), channels=2))
    with pytest.raises(DataError, match="has no samples"):
        read_sound(write(tmp_path / "empty.wav", b""))
    with pytest.raises(DataError, match="no regular file"):
        read_sound(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_sound(tmp_path / "nowhere.wav")


def test_another_sample_rate_is_told_by_its_file(tmp_path):
    paths = [write(tmp_path / "a.wav", bytes(800))]
    paths.append(write(tmp_path / "b.wav", bytes(800), rate_hz=16000))
    with pytest.raises(DataError, match=r"b\.wav: has 16000 samples a second, a\.wav has 8000"):
        read_sounds(paths)


def test_clips_are_as_long_as_the_longest_or_as_asked_for(tmp_path):
    paths = [write(tmp_path / f"{n}.wav", bytes(2 * n)) for n in (1000, 3000)]
    sounds = read_sounds(paths)
    # Hops have 128 samples.
    assert clip_samples(sounds, paths, None, "") == 24 * 128 >= 3000
    assert clip_samples(sounds, paths, 0.1, "") == 7 * 128 >= 800


def test_silence_is_put_around_short_sounds_and_the_middle_taken_of_long_ones():
    ramp = np.arange(1, 7, dtype=np.int16)
    np.testing.assert_array_equal(clipped(ramp, 10) * 32768, [0, 0, 1, 2, 3, 4, 5, 6, 0, 0])
    np.testing.assert_array_equal(clipped(ramp, 2) * 32768, [3, 4])
    np.testing.assert_array_equal(clipped(ramp, 8, shift=3) * 32768, [0, 0, 0, 0, 1, 2, 3, 4])
    assert not clipped(ramp, 4, shift=9).any()


def test_a_sound_that_would_make_all_others_as_long_is_told(tmp_path):
    paths = [write(tmp_path / f"{n}.wav", bytes(2 * n)) for n in (1000, 61 * 8000)]
    with pytest.raises(DataError, match=r"488000\.wav: lasts 61 s, .*; cut it"):
        clip_samples(read_sounds(paths), paths, None, "cut it")
    assert clip_samples(read_sounds(paths), paths, 0.1, "cut it") == 7 * 128


@pytest.mark.parametrize("rate_hz", [0, 1, 2**32 - 1])
def test_a_rate_that_no_recorder_has_is_told(tmp_path, rate_hz):
    path = write(tmp_path / "a.wav", bytes(2000))
    content = path.read_bytes()
    path.write_bytes(content[:24] + rate_hz.to_bytes(4, "little") + content[28:])
    with pytest.raises(DataError, match=rf"a\.wav: has {rate_hz} samples a second"):
        read_sound(path)
