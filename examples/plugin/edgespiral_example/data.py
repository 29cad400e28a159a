"""Stripes in four directions with noise, made as they are asked for: `stripes[:COUNT]`."""

from __future__ import annotations

import torch

from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import UsageError
from edgespiral.data.tensors import Normalisation, TensorSource

DIRECTIONS = {"down": (0, 1), "across": (1, 0), "rising": (1, 1), "falling": (1, -1)}
SIDE, NOISE, COUNT, LEAST = 8, 60, 400, 40


def stripes(argument: str) -> DataSplits:
    """COUNT images of 8 x 8 pixels to train on, half as many to validate and to test.

    Raises:
        UsageError: COUNT is no whole number from 40 up.
    """
    if argument and not (argument.isdecimal() and int(argument) >= LEAST):
        raise UsageError(
            f"must be a number of images from {LEAST} up, is {argument!r}", where="--data stripes"
        )
    count = int(argument or COUNT)
    images, labels = _images(2 * count)
    normalisation = Normalisation.of(images[:count])

    def part(first: int, last: int) -> TensorSource:
        return TensorSource(images[first:last], labels[first:last], normalisation)

    return DataSplits(
        name="stripes",
        train=part(0, count),
        validation=part(count, count + count // 2),
        test=part(count + count // 2, 2 * count),
        class_names=tuple(DIRECTIONS),
        input_shape=(1, SIDE, SIDE),
    )


def _images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same ones every time: splits never depend on a run's seed."""
    source = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % len(DIRECTIONS)
    steps = torch.tensor(list(DIRECTIONS.values()))[labels]
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    phase = torch.randint(0, 4, (count, 1, 1), generator=source)
    place = steps[:, 0, None, None] * rows + steps[:, 1, None, None] * columns + phase
    bright = 255 * (place % 4 < 2)
    noise = NOISE * torch.randn(count, SIDE, SIDE, generator=source)
    return (bright + noise).clamp(0, 255).to(torch.uint8)[:, None], labels


PLUGIN = stripes
