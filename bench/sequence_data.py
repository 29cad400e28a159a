"""Folders as `speech:`, `transcripts:`, `text:` and `translation:` take them, of public data sets.

Usage: python bench/sequence_data.py WHAT SOURCE FOLDER

WHAT is one of keywords, digits, digit-strings, clinc, banking, tatoeba and multi30k. `keywords` and
`digits` make a folder of WAV files a class of an archive (.npz) with `mulaw` or `samples`
(docs/tasks/ names the sets), `digit-strings` strings of three to five spoken digits of one
speaker each, with pauses between them, and their transcripts. `clinc` reads data_full.json.gz, and
`banking` a folder with banking77's two tables. `tatoeba` reads a table of pairs (cmn.tsv.gz) and
keeps the short ones, and `multi30k` its folder of two files a part. All are the same each time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np

RATE_HZ = 8000
PARTS = ("train", "val", "test")
# Strings of each part, digits a string, and seconds of pause.
COUNTS = {"train": 1500, "val": 200, "test": 300}
FEWEST, MOST = 3, 5
# Words of English and characters of Chinese.
SHORT = 8, 12
SHORTEST_S, LONGEST_S = 0.02, 0.15


def write_wave(path: Path, samples: np.ndarray) -> None:
    """A WAV file of int16 samples (n,)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())


def keywords(source: Path, folder: Path) -> None:
    """Clips of words, by split and word."""
    with np.load(source) as archive:
        level = archive["mulaw"].astype(np.float32) / 255 * 2 - 1
        values = np.sign(level) * (256.0 ** np.abs(level) - 1) / 255
        names, words = archive["name"], archive["words"]
        for index, (label, split) in enumerate(
            zip(archive["label"], archive["split"], strict=True)
        ):
            stem = str(names[index]).replace("/", "_").removesuffix(".wav")
            path = folder / PARTS[int(split)] / str(words[int(label)]) / f"{stem}.wav"
            write_wave(path, np.round(values[index] * 32767))


def recordings(source: Path) -> list[tuple[str, int, str, np.ndarray]]:
    """Speaker, digit, part and samples of each spoken digit; the first ten of each are held out."""
    with np.load(source) as archive:
        clips = np.split(archive["samples"], archive["lengths"].cumsum()[:-1])
        columns = (archive[name].tolist() for name in ("speaker", "label", "index"))
        rows = list(zip(*columns, clips, strict=True))
    part = {True: "test", False: "val"}
    return [
        (str(speaker), int(digit), "train" if index >= 10 else part[index < 5], samples)
        for speaker, digit, index, samples in rows
    ]


def digits(source: Path, folder: Path) -> None:
    """Spoken digits, by split and digit."""
    for number, (speaker, digit, part, samples) in enumerate(recordings(source)):
        write_wave(folder / part / str(digit) / f"{speaker}-{number:04d}.wav", samples)


def digit_strings(source: Path, folder: Path) -> None:
    """Strings of digits with their transcripts, such as `4 0 7`."""
    pool: dict[tuple[str, str], list[tuple[int, np.ndarray]]] = {}
    for speaker, digit, part, samples in recordings(source):
        pool.setdefault((part, speaker), []).append((digit, samples))
    generator = np.random.default_rng(0)
    for part, count in COUNTS.items():
        speakers = sorted(speaker for own, speaker in pool if own == part)
        lines = ["file\ttext"]
        for number in range(count):
            speaker = speakers[number % len(speakers)]
            chosen = [
                pool[part, speaker][index]
                for index in generator.integers(
                    len(pool[part, speaker]), size=generator.integers(FEWEST, MOST + 1)
                )
            ]
            pieces = [_pause(generator)]
            for _, samples in chosen:
                pieces += [samples, _pause(generator)]
            path = folder / part / f"{number:04d}.wav"
            write_wave(path, np.concatenate(pieces))
            said = " ".join(str(digit) for digit, _ in chosen)
            lines.append(f"{path.relative_to(folder)}\t{said}")
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pause(generator: np.random.Generator) -> np.ndarray:
    samples = round(RATE_HZ * generator.uniform(SHORTEST_S, LONGEST_S))
    return generator.integers(-20, 21, samples)


def clinc(source: Path, folder: Path) -> None:
    """Intents, and what is out of scope as one more."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        read: dict[str, Any] = json.load(file)
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        rows = [*read[part], *read[f"oos_{part}"]]
        text = "".join(json.dumps({"text": said, "intent": intent}) + "\n" for said, intent in rows)
        (folder / f"{part}.jsonl").write_text(text, encoding="utf-8")


def banking(source: Path, folder: Path) -> None:
    """The two tables of banking77, as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        shutil.copyfile(source / f"banking77-{part}.csv.gz", folder / f"{part}.csv.gz")


def tatoeba(source: Path, folder: Path) -> None:
    """Pairs of at most eight words and twelve characters; every tenth English sentence is the test.

    Those that have one English sentence are in one part.
    """
    with gzip.open(source, "rt", encoding="utf-8") as file:
        pairs = [line.rstrip("\n").split("\t")[:2] for line in file]
    short = [p for p in pairs if len(p[0].split()) <= SHORT[0] and len(p[1]) <= SHORT[1]]
    numbers = {text: at for at, text in enumerate(dict.fromkeys(pair[0] for pair in short))}
    folder.mkdir(parents=True, exist_ok=True)
    for name, places in {"test": (0,), "val": (1,), "train": range(2, 10)}.items():
        rows = ["\t".join(pair) for pair in short if numbers[pair[0]] % 10 in places]
        text = "\n".join(["source\ttarget", *rows]) + "\n"
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")


def multi30k(source: Path, folder: Path) -> None:
    """Training, validation and the test set of 2016, as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for language in ("en", "de"):
        for name, file in {"train": "train", "val": "val", "test": "test_2016_flickr"}.items():
            goal = folder / f"{name}.{language}.gz"
            shutil.copyfile(source / f"{file}.{language}.gz", goal)


MAKERS = {
    "keywords": keywords,
    "digits": digits,
    "digit-strings": digit_strings,
    "clinc": clinc,
    "banking": banking,
    "tatoeba": tatoeba,
    "multi30k": multi30k,
}


def main() -> None:
    """Make one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=MAKERS)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    MAKERS[given.what](given.source, given.folder)


if __name__ == "__main__":
    main()
