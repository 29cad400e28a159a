"""Made-up text and sound to learn: what a path/to/file.py:factory returns."""

from __future__ import annotations

import torch
from torch.utils.data import TensorDataset

TOKENS, STEPS = 60, 24
BANDS, FRAMES = 16, 32


def text(count: int = 960):
    """Four classes: which of two marks comes first, and which topic the other tokens are from."""
    generator = torch.Generator().manual_seed(0)
    topic, order = (torch.randint(0, 2, (count,), generator=generator) for _ in range(2))
    # Two thirds of the tokens are common to both topics.
    tokens = torch.randint(2, 40, (count, STEPS), generator=generator)
    own = torch.randint(0, 10, (count, STEPS), generator=generator) + 40 + 10 * topic[:, None]
    tokens = torch.where(torch.rand(count, STEPS, generator=generator) < 1 / 3, own, tokens)
    places = torch.rand(count, STEPS, generator=generator).argsort(1)[:, :2].sort(1).values
    tokens.scatter_(1, places, torch.stack([order, 1 - order], 1))
    return {
        **_parts(tokens, 2 * topic + order),
        "classes": ["a", "b", "c", "d"],
        "token_count": TOKENS,
    }


def sound(count: int = 960):
    """Four classes: spectrograms of a tone that rises, falls, bends or stays, in noise."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 4, (count,), generator=generator)
    time = torch.linspace(-1, 1, FRAMES)
    shapes = torch.stack([time, -time, 1 - 2 * time.abs(), torch.zeros(FRAMES)])
    middle = BANDS / 2 + 2 * torch.randn(count, 1, generator=generator).clamp(-1, 1)
    track = middle + BANDS / 4 * shapes[label]
    bands = torch.arange(BANDS).view(1, -1, 1)
    tone = 2 * torch.exp(-((bands - track[:, None]) ** 2) / 2)
    noise = 1.5 * torch.randn(count, BANDS, FRAMES, generator=generator)
    return {**_parts((tone + noise)[:, None], label), "classes": ["up", "down", "bend", "flat"]}


def _parts(inputs, labels):
    held = len(labels) // 5
    ends = {"train": (2 * held, None), "validation": (0, held), "test": (held, 2 * held)}
    return {
        name: TensorDataset(inputs[first:last], labels[first:last])
        for name, (first, last) in ends.items()
    }
