"""Sounds in one folder a class: WAV files as waveforms or log-mel features."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from edgespiral.core import audio
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError
from edgespiral.core.stages.frames import Clip, Frames
from edgespiral.core.system.files import read_text
from edgespiral.core.user_code import user_code
from edgespiral.data.argument import Argument
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.files.folders import holds
from edgespiral.data.files.parts import PARTS, require_apart, three_parts
from edgespiral.data.files.sounds import (
    CONVERT,
    LONGEST_S,
    OTHER_SOUNDS,
    SUFFIX,
    clip_samples,
    clipped,
    read_sounds,
)
from edgespiral.data.files.tables import tables_in
from edgespiral.data.holdout import hold_out
from edgespiral.data.sources.base import FileSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.data.files.sounds import Sound

WAVEFORM, LOG_MEL = "waveform", "logmel"
# In shuffled passes a clip begins earlier or later by up to this share of its length.
SHIFT_SHARE = 0.1
# Of Speech Commands: what is no clip of one word, and the lists of its splits.
NOISE = "_background_noise_"
LISTS = ("validation_list.txt", "testing_list.txt")
FEATURES = "features.json"


class Clips(Dataset[tuple["Tensor", "Tensor"]]):
    """Sounds of one length, with their targets.

    Args:
        sounds: of one sample rate.
        targets: of them, (N, ...).
        samples: length of a clip, whole hops.
        features: what of them is shown: waveforms (1, samples), or log-mel (1, bands, frames).
        most_shift: in samples; each time another from torch's generator, if not 0.
    """

    def __init__(
        self,
        sounds: Sequence[Sound],
        targets: Tensor,
        samples: int,
        features: str,
        most_shift: int = 0,
    ) -> None:
        self._sounds, self._targets = sounds, targets
        self._samples, self._features, self._most_shift = samples, features, most_shift

    def __len__(self) -> int:
        return len(self._sounds)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sound, most = self._sounds[index], self._most_shift
        shift = int(torch.randint(-most, most + 1, ())) if most else 0
        shown = clipped(sound.samples, self._samples, shift=shift)
        if self._features == LOG_MEL:
            shown = audio.log_mel(shown, sound.rate_hz)
        return torch.from_numpy(shown)[None], self._targets[index]


def load_speech(argument: str) -> DataSplits:
    """`speech:PATH`, `speech:PATH?features=logmel`, `speech:PATH?seconds=1`: WAV files by class.

    Below PATH, or below each of its subfolders train, val and test, lies a folder of WAV files a
    class. The splits are as those of `folder:`, or, where the lists of Speech Commands
    (validation_list.txt, testing_list.txt) are there, these. Clips are as long as the longest file,
    or `seconds`: shorter files have silence around them, of longer ones the middle is taken.

    Raises:
        DataError: no such folder, no WAV files, one that is none or has another sample rate, or
            the splits have different classes.
    """
    spec = Argument("speech", argument, ["features", "seconds"])
    features = spec.one_of("features", (WAVEFORM, LOG_MEL))
    parts = _parts(spec.path)
    require_apart(
        {name: part.paths for name, part in zip(PARTS, parts, strict=True)}, f"speech:{spec.path}"
    )
    paths = [path for part in parts for path in part.paths]
    sounds = read_sounds(paths)
    rate_hz = sounds[0].rate_hz
    seconds = spec.positive("seconds", LONGEST_S)
    samples = clip_samples(sounds, paths, seconds, hint="?seconds=1 takes the middle second")
    by_path = dict(zip(paths, sounds, strict=True))
    train, validation, test = (_source(part, by_path, samples, features) for part in parts)
    shape = (1, samples) if features == WAVEFORM else _feature_shape(samples, rate_hz)
    return DataSplits(
        name=f"speech:{spec.path}",
        train=train,
        validation=validation.unaugmented(),
        test=test.unaugmented(),
        class_names=parts[0].classes,
        input_shape=shape,
        sample_rate_hz=rate_hz if features == WAVEFORM else None,
        files={FEATURES: description(features, rate_hz, samples)},
        frames=Frames(
            "sound",
            Clip(samples, None if features == WAVEFORM else rate_hz),
            parts[1].paths,
        ),
    )


@dataclass(frozen=True)
class _Files:
    """Some WAV files below a folder of one subfolder a class."""

    root: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Index of each file's class."""
        return np.array([self.classes.index(path.parent.name) for path in self.paths], np.int64)

    def split(self, fraction: float) -> tuple[_Files, _Files]:
        """See `data.files.parts.Part`."""
        count = max(len(self.classes), round(fraction * len(self.paths)))
        rest, held_out = (
            replace(self, paths=tuple(self.paths[index] for index in chosen))
            for chosen in hold_out(self.labels, count, where=str(self.root))
        )
        return rest, held_out


def _files(root: Path) -> _Files:
    if not root.is_dir():
        raise DataError("no such folder", where=str(root))
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name != NOISE)
    # A link that leads nowhere is none the less a file that should be there.
    files = sorted(path for folder in folders for path in folder.iterdir() if not path.is_dir())
    strange = [path for path in files if path.suffix.lower() in OTHER_SOUNDS]
    if strange:
        raise DataError("is no WAV file", where=str(strange[0]), hint=CONVERT)
    paths = tuple(path for path in files if path.suffix.lower() == SUFFIX)
    if not paths:
        raise DataError("no WAV files in one subfolder a class", where=str(root))
    with_files = {path.parent.name for path in paths}
    empty = [folder for folder in folders if folder.name not in with_files]
    if empty:
        raise DataError("no WAV files", where=str(empty[0]), hint="take the folder away")
    return _Files(root, tuple(folder.name for folder in folders), paths)


def _parts(root: Path) -> tuple[_Files, _Files, _Files]:
    if not all((root / name).is_file() for name in LISTS):
        return three_parts(root, _files)
    whole = _files(root)
    validation, test = (_listed(whole, root / name) for name in LISTS)
    others = {*validation.paths, *test.paths}
    rest = tuple(path for path in whole.paths if path not in others)
    return replace(whole, paths=rest), validation, test


def _listed(whole: _Files, file: Path) -> _Files:
    with user_code(DataError, "cannot be read", where=str(file)):
        lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    there = set(whole.paths)
    paths = [whole.root / line for line in lines]
    missing = [path for path in paths if path not in there]
    if missing:
        name = lines[paths.index(missing[0])]
        raise DataError(f"lists {name}, which is not there", where=str(file))
    return replace(whole, paths=tuple(paths))


def _source(
    part: _Files, sounds: Mapping[Path, Sound], samples: int, features: str
) -> DatasetSource:
    chosen, labels = [sounds[path] for path in part.paths], torch.from_numpy(part.labels)
    plain, shifted = (
        Clips(chosen, labels, samples, features, most) for most in (0, round(SHIFT_SHARE * samples))
    )
    return DatasetSource(plain, shifted, names=[str(path) for path in part.paths])


def _feature_shape(samples: int, rate_hz: int) -> tuple[int, ...]:
    return 1, audio.BANDS, audio.frame_count(samples, rate_hz)


def description(features: str, rate_hz: int, samples: int) -> str:
    """What who runs the model has to feed it."""
    facts: dict[str, object] = {"features": features, "sample_rate_hz": rate_hz, "samples": samples}
    if features == LOG_MEL:
        facts |= {
            "window": 2 * audio.hop_samples(rate_hz),
            "hop": audio.hop_samples(rate_hz),
            "bands": audio.BANDS,
            "lowest_hz": audio.LOWEST_HZ,
            "floor": audio.FLOOR,
            "shift": audio.SHIFT,
            "scale": audio.SCALE,
        }
    return json.dumps(facts, indent=2) + "\n"


def _fits(folder: Path) -> bool:
    return holds(folder, (SUFFIX,)) and not tables_in(folder)


PLUGIN = FileSource(load_speech, task="keyword-spotting", order=50, fits=_fits)
