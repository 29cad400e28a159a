"""A small translator and a table of pairs of sentences, made 1.3 times as fast."""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import edgespiral

# Stand-ins for your sentences: who does what and when, in the same order in both languages.
WHO = {"the cat": "die katze", "a dog": "ein hund", "the bird": "der vogel", "a child": "ein kind"}
DOES = {"sees": "sieht", "hears": "hört", "finds": "findet", "follows": "verfolgt"}
WHAT = {"the house": "das haus", "a tree": "einen baum", "the sea": "das meer"}
WHEN = {"today": "heute", "again": "wieder", "at night": "nachts", "in the rain": "im regen"}


def write_pairs(path: Path, count: int) -> Path:
    """A table of English sentences and their German ones."""
    draw = random.Random(0)
    lines = ["source\ttarget"]
    for _ in range(count):
        pairs = [draw.choice(list(part.items())) for part in (WHO, DOES, WHAT, WHEN)]
        english, german = zip(*pairs, strict=True)
        lines.append(f"{' '.join(english)}\t{' '.join(german)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main(words: Sequence[str] | None = None) -> None:
    """Write, train, compress."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--target", default="host-cpu", help="a target's name or file")
    options.add_argument("--out", type=Path, default=Path("runs/translator"))
    options.add_argument("--pairs", type=int, default=400, help="of sentences")
    options.add_argument("--epochs", type=float, default=8, help="of training the teacher")
    asked = options.parse_args(words)
    work = asked.out.with_name(f"{asked.out.name}-before")
    data = f"translation:{write_pairs(work / 'pairs.tsv', asked.pairs)}"
    edgespiral.train_teacher(
        "gru-translation",
        data,
        out=work / "teacher",
        epochs=asked.epochs,
        batch_size=16,
        resume=True,
        task="translation",
    )
    small = edgespiral.compress(
        "gru-translation",
        data,
        task="translation",
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
    print(f"what both say of ten sentences: {small.folder / 'report.html'}")


if __name__ == "__main__":
    try:
        main()
    except edgespiral.EdgeSpiralError as error:
        sys.exit(f"error: {error}")
