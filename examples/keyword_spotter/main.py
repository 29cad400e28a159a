"""A keyword spotter and a folder of sounds, made 1.3 times as fast."""

import argparse
import sys
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import edgespiral

RATE_HZ, SECONDS = 8000, 0.5
# Stand-ins for words, by the pitch of a tone that rises or falls.
WORDS = {"down": (900, 300), "low": (250, 250), "up": (300, 900)}


def record_sounds(folder: Path, count: int) -> Path:
    """Write `PART/WORD/N.wav` for train, val and test."""
    random = np.random.default_rng(0)
    for part, share in (("train", 1.0), ("val", 0.5), ("test", 0.5)):
        for word, (begin, end) in WORDS.items():
            place = folder / part / word
            place.mkdir(parents=True, exist_ok=True)
            for number in range(int(count * share)):
                write_tone(place / f"{number}.wav", begin, end, random)
    return folder


def write_tone(path: Path, begin: float, end: float, random: np.random.Generator) -> None:
    """A tone from one pitch to another, somewhat off, with noise."""
    times = np.arange(int(RATE_HZ * SECONDS)) / RATE_HZ
    pitches = random.uniform(0.9, 1.1) * np.linspace(begin, end, len(times))
    tone = 0.4 * np.sin(2 * np.pi * np.cumsum(pitches) / RATE_HZ)
    samples = tone + 0.05 * random.standard_normal(len(times))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())


def main(words: Sequence[str] | None = None) -> None:
    """Record, train, compress."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--target", default="host-cpu", help="a target's name or file")
    options.add_argument("--out", type=Path, default=Path("runs/keywords"))
    options.add_argument("--sounds", type=int, default=48, help="of each word to train on")
    options.add_argument("--epochs", type=float, default=6, help="of training the teacher")
    asked = options.parse_args(words)
    work = asked.out.with_name(f"{asked.out.name}-before")
    data = f"speech:{record_sounds(work / 'sounds', asked.sounds)}?features=logmel"
    edgespiral.train_teacher(
        "ds-cnn",
        data,
        out=work / "teacher",
        epochs=asked.epochs,
        batch_size=16,
        resume=True,
        task="keyword-spotting",
    )
    small = edgespiral.compress(
        "ds-cnn",
        data,
        task="keyword-spotting",
        weights=work / "teacher" / "weights.safetensors",
        target=asked.target,
        speedup=1.3,
        epochs=2,
        max_drop=30,
        batch_size=16,
        out=asked.out,
        resume=True,
    )
    print(small.result.outcome, small.result.message)
    print(f"ships with {small.folder / 'features.json'}, which says what to feed it")


if __name__ == "__main__":
    try:
        main()
    except edgespiral.EdgeSpiralError as error:
        sys.exit(f"error: {error}")
