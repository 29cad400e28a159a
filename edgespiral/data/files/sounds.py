"""WAV files read as they are, and clips of one length made of them."""

from __future__ import annotations

import io
import stat
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.audio import whole_samples
from edgespiral.core.errors import DataError
from edgespiral.core.system.files import read_bytes
from edgespiral.core.text import described

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# An hour of 16 kHz is 115 MB: clips are seconds.
MOST_BYTES = 2**27
SUFFIX = ".wav"
OTHER_SOUNDS = (".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma")
# What recorders write; anything else is a damaged head.
LEAST_HZ, MOST_HZ = 1_000, 400_000
# One recording of an hour among words would make all of them as long.
LONGEST_S = 60.0
CONVERT = "convert it: ffmpeg -i IN -ac 1 -c:a pcm_s16le OUT.wav"


@dataclass(frozen=True)
class Sound:
    """A recording of one channel.

    Attributes:
        samples: (n,), int16; more bits than 16 are rounded away.
        rate_hz: samples a second.
    """

    samples: NDArray[np.int16]
    rate_hz: int


def read_sound(path: Path) -> Sound:
    """A WAV file of one channel of PCM samples, with 8, 16, 24 or 32 bits each.

    Raises:
        DataError: it is anything else, is cut short, or has no samples; the file is named.
    """
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError("is not a sound: no regular file", where=str(path))
        with wave.open(io.BytesIO(read_bytes(path, MOST_BYTES)), "rb") as file:
            channels, width = file.getnchannels(), file.getsampwidth()
            rate_hz, count = file.getframerate(), file.getnframes()
            content = file.readframes(count)
    except OSError as error:
        what = f"cannot be read: {error.strerror or described(error)}"
        raise DataError(what, where=str(path)) from error
    except (wave.Error, EOFError, ValueError) as error:
        what = f"is not a WAV file of PCM samples: {described(error)}"
        raise DataError(what, where=str(path), hint=CONVERT) from error
    if channels != 1:
        raise DataError(f"has {channels} channels, and one is taken", where=str(path), hint=CONVERT)
    if not LEAST_HZ <= rate_hz <= MOST_HZ:
        what = f"has {rate_hz} samples a second, and {LEAST_HZ} to {MOST_HZ} are taken"
        raise DataError(what, where=str(path), hint=CONVERT)
    if not count or not content:
        raise DataError("has no samples", where=str(path), hint="take it away")
    if len(content) < count * width:
        what = f"is cut short: {len(content) // width} of {count} samples are there"
        raise DataError(what, where=str(path), hint="mend it or take it away")
    return Sound(_as_int16(content, width, path), rate_hz)


def read_sounds(paths: Sequence[Path]) -> list[Sound]:
    """All of some files, which have one sample rate.

    Raises:
        DataError: as `read_sound`, or the rates differ; a file is named.
    """
    with ThreadPoolExecutor() as threads:
        sounds = list(threads.map(read_sound, paths))
    for path, sound in zip(paths, sounds, strict=True):
        if sound.rate_hz != sounds[0].rate_hz:
            raise DataError(
                f"has {sound.rate_hz} samples a second, {paths[0].name} has {sounds[0].rate_hz}",
                where=str(path),
                hint="bring all files to one rate: ffmpeg -i IN -ar RATE OUT.wav",
            )
    return sounds


def clip_samples(
    sounds: Sequence[Sound], paths: Sequence[Path], seconds: float | None, hint: str
) -> int:
    """How long clips are: as long as asked for, or as the longest of `sounds`, in whole hops.

    Args:
        paths: of the sounds.
        hint: what to do about a sound that would make all of them longer than `LONGEST_S`.

    Raises:
        DataError: there is such a sound, and nothing is asked for.
    """
    rate_hz = sounds[0].rate_hz
    if seconds is not None:
        return whole_samples(round(seconds * rate_hz), rate_hz)
    longest, path = max(
        ((len(sound.samples), path) for sound, path in zip(sounds, paths, strict=True)),
    )
    if longest > LONGEST_S * rate_hz:
        what = f"lasts {longest / rate_hz:.0f} s, and all sounds would be made as long"
        raise DataError(what, where=str(path), hint=hint)
    return whole_samples(longest, rate_hz)


def clipped(samples: NDArray[np.int16], length: int, *, shift: int = 0) -> NDArray[np.float32]:
    """`samples` as float32 in -1..1 of that length: silence around the shorter, the middle of the
    longer, later by `shift` samples.
    """
    begin = (length - len(samples)) // 2 + shift
    clip = np.zeros(length, np.float32)
    first, last = max(0, begin), min(length, begin + len(samples))
    if last > first:
        clip[first:last] = samples[first - begin : last - begin] / np.float32(32768)
    return clip


def _as_int16(content: bytes, width: int, path: Path) -> NDArray[np.int16]:
    if width == 1:
        return ((np.frombuffer(content, np.uint8).astype(np.int16) - 128) * 256).astype(np.int16)
    if width == 2:
        return np.frombuffer(content, "<i2").astype(np.int16)
    if width in (3, 4):
        # Little-endian: the last two bytes of each are the upper ones.
        upper = np.frombuffer(content, np.uint8).reshape(-1, width)[:, -2:]
        return np.ascontiguousarray(upper).view("<i2")[:, 0].astype(np.int16)
    raise DataError(f"has {8 * width} bits a sample", where=str(path), hint=CONVERT)
