"""Pairs of sentences to learn: words of another language for words of one, in the same order."""

import random
from pathlib import Path

NOUNS = ("cat", "dog", "bird", "fish", "cow", "tree", "house", "stone")
OTHERS = ("katze", "hund", "vogel", "fisch", "kuh", "baum", "haus", "stein")


def write_pairs(path: Path, count: int, seed: int = 0) -> Path:
    """A table of `count` pairs of 2 to 5 words each."""
    draw = random.Random(seed)
    lines = ["source\ttarget"]
    for _ in range(count):
        words = [draw.randrange(len(NOUNS)) for _ in range(draw.randint(2, 5))]
        lines.append(f"{' '.join(NOUNS[w] for w in words)}\t{' '.join(OTHERS[w] for w in words)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
