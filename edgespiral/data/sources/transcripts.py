"""Sounds with what is said in them: WAV files and tables of transcripts, for speech recognition."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgespiral.core import audio
from edgespiral.core.batches import NO_SYMBOL, DataSplits
from edgespiral.core.errors import DataError
from edgespiral.core.system.files import is_file
from edgespiral.data.argument import Argument
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.files.marks import normal
from edgespiral.data.files.parts import PARTS, TEST_PART, VALIDATION_PART, require_apart
from edgespiral.data.files.sounds import clip_samples, read_sounds
from edgespiral.data.files.tables import column, rows_of_table, three_tables, value
from edgespiral.data.holdout import drawn_apart
from edgespiral.data.sources.base import FileSource
from edgespiral.data.sources.speech import FEATURES, LOG_MEL, WAVEFORM, Clips, description

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.data.files.sounds import Sound

FILE_NAMES = ("file", "path", "audio", "wav", "filename")
TEXT_NAMES = ("text", "transcript", "transcription", "sentence")
SYMBOLS = "symbols.json"
BLANK_NAME = "<blank>"


@dataclass(frozen=True)
class Transcribed:
    """A sound's file, what is said in it, and the place that says so."""

    path: Path
    text: str
    where: str


def load_transcripts(argument: str) -> DataSplits:
    """`transcripts:PATH` or `transcripts:PATH?features=waveform`: WAV files and what they say.

    PATH is a folder with the tables train, val (or validation) and test, or train and one of the
    others; or one table, of which 15 % are the test and a tenth of the rest the validation. A row
    has a file, as seen from the table's folder, and its text. Symbols are the characters of the
    training texts in lower case; symbol 1 is the blank between words. All sounds are as long as
    the longest, with silence around the shorter ones.

    Raises:
        DataError: a file is missing or damaged, a text is empty or has a character that training
            does not have.
    """
    spec = Argument("transcripts", argument, ("features", "file", "text", "columns"))
    features = spec.one_of("features", (LOG_MEL, WAVEFORM))
    parts = _parts(spec)
    if not all(parts):
        raise DataError("has too few rows to hold some out", where=str(spec.path))
    paths = [transcribed.path for part in parts for transcribed in part]
    by_part = {
        name: [transcribed.path for transcribed in part]
        for name, part in zip(PARTS, parts, strict=True)
    }
    require_apart(by_part, f"transcripts:{spec.path}", repeats=True)
    sounds = read_sounds(paths)
    rate_hz = sounds[0].rate_hz
    samples = clip_samples(sounds, paths, None, hint="cut it into sentences")
    symbols = _symbols(parts[0])
    longest = max(len(transcribed.text) for part in parts for transcribed in part)
    remaining = iter(sounds)
    train, validation, test = (
        _source(
            part,
            [next(remaining) for _ in part],
            symbols,
            longest=longest,
            samples=samples,
            features=features,
        )
        for part in parts
    )
    is_waveform = features == WAVEFORM
    frames = audio.frame_count(samples, rate_hz)
    return DataSplits(
        name=f"transcripts:{spec.path}",
        train=train,
        validation=validation,
        test=test,
        class_names=symbols,
        input_shape=(1, samples) if is_waveform else (1, audio.BANDS, frames),
        target_shape=None,
        sample_rate_hz=rate_hz if is_waveform else None,
        files={
            FEATURES: description(features, rate_hz, samples),
            SYMBOLS: json.dumps(symbols, ensure_ascii=False) + "\n",
        },
    )


def _symbols(train: Sequence[Transcribed]) -> tuple[str, ...]:
    """The blank of CTC, a space, and every other character of the texts."""
    return (
        BLANK_NAME,
        " ",
        *sorted({*"".join(transcribed.text for transcribed in train)} - {" "}),
    )


def _parts(spec: Argument) -> tuple[Sequence[Transcribed], ...]:
    if not spec.path.is_dir():
        rest, test = drawn_apart(_read(spec.path, spec), TEST_PART)
        return (*drawn_apart(rest, VALIDATION_PART), test)
    train, *others = (_read(table, spec) for table in three_tables(spec.path).values())
    if len(others) == 1:
        return (*drawn_apart(train, VALIDATION_PART), others[0])
    return train, others[0], others[-1]


def _read(table: Path, spec: Argument) -> list[Transcribed]:
    table_rows = rows_of_table(table, spec)
    file = spec.options.get("file") or column(table_rows[0], FILE_NAMES, "file")
    text = spec.options.get("text") or column(table_rows[0], TEXT_NAMES, "text")
    transcripts = []
    for row in table_rows:
        spoken = " ".join(normal(value(row, text).lower()).split())
        if not spoken:
            raise DataError("the transcript is empty", where=row.where, hint="take the row away")
        path = table.parent / value(row, file)
        if not is_file(path):
            raise DataError(f"there is no file {path}", where=row.where)
        transcripts.append(Transcribed(path, spoken, row.where))
    return transcripts


def _source(
    part: Sequence[Transcribed],
    sounds: Sequence[Sound],
    symbols: Sequence[str],
    *,
    longest: int,
    samples: int,
    features: str,
) -> DatasetSource:
    ids = {symbol: index for index, symbol in enumerate(symbols)}
    targets = torch.full((len(part), longest), NO_SYMBOL, dtype=torch.int64)
    for index, transcribed in enumerate(part):
        strange = [symbol for symbol in transcribed.text if symbol not in ids]
        if strange:
            what = f"the character {strange[0]!r} is never seen in training"
            raise DataError(what, where=transcribed.where)
        targets[index, : len(transcribed.text)] = torch.tensor(
            [ids[symbol] for symbol in transcribed.text]
        )
    clips = Clips(sounds, targets, samples, features)
    return DatasetSource(clips, fixed=True, names=[transcribed.where for transcribed in part])


PLUGIN = FileSource(
    load_transcripts, task="speech-recognition", order=10, columns=(FILE_NAMES, TEXT_NAMES)
)
