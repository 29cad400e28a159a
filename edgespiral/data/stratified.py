"""A few samples of a split: every class in its proportion, or from all over it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgespiral.core.errors import DataError
from edgespiral.core.nested import joined, leaves, mapped, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.nested import Tensors

BATCH_SIZE = 250


@dataclass(frozen=True)
class Sampled:
    """Samples of a split in stored order.

    Attributes:
        inputs: one (1, *input_shape) each, as the model takes it.
        targets: theirs, (n, ...).
        sha256: of the samples' values and targets themselves, so that it tells changed data too.
    """

    inputs: tuple[Tensors, ...]
    targets: Tensors
    sha256: str

    @property
    def labels(self) -> tuple[int, ...]:
        """One class index each; of masks those that are there, of other targets none."""
        if not isinstance(self.targets, torch.Tensor) or self.targets.is_floating_point():
            return ()
        classes = self.targets if self.targets.ndim == 1 else torch.unique(self.targets)
        return tuple(int(label) for label in classes)


def stratified(source: BatchSource, count: int, *, seed: int, where: str) -> Sampled:
    """`count` samples in stored form, each class in proportion and at least once.

    Samples of which each has a mask, or anything but one class, are drawn evenly instead.
    Goes through the split twice: once for the targets, once for what was chosen.

    Args:
        where: what the split is called in messages.

    Raises:
        DataError: more samples asked for than there are, or fewer than there are classes.
    """
    if count > len(source):
        raise DataError(
            f"{count} samples are asked for, there are {len(source)}",
            where=where,
            hint="lower the recipe's samples",
        )
    batches = source.epoch(batch_size=BATCH_SIZE)
    targets = joined([batch for _, batch in batches])
    strata = np.zeros(len(source), np.int64)
    if isinstance(targets, torch.Tensor) and targets.dtype == torch.int64 and targets.ndim == 1:
        strata = targets.numpy()
    places = _chosen(strata, count, seed, where)
    inputs = _picked(source, places)
    digest = hashlib.sha256()
    for sample, index in zip(inputs, places, strict=True):
        for leaf in (*leaves(sample).values(), *leaves(rows(targets, int(index))).values()):
            digest.update(leaf.numpy().tobytes())
    return Sampled(inputs, rows(targets, torch.from_numpy(places)), digest.hexdigest())


def parts_of(
    source: BatchSource, count: int, *, parts: int
) -> Iterator[list[tuple[Tensors, Tensors]]]:
    """At most `count` samples in stored order, in so many parts from all over the split.

    Data sets often lie sorted by class, so that the first samples are all of one.

    Yields:
        Of each part its inputs and targets, batches of one sample each.
    """
    sample_count = min(count, len(source))
    left_out = len(source) - sample_count
    for at, (had, due) in enumerate(
        pairwise(part * sample_count // parts for part in range(parts + 1))
    ):
        if due > had:
            skipped = left_out * at // max(1, parts - 1)
            shown = source.epoch(batch_size=1, first_batch=had + skipped)
            yield list(islice(shown, due - had))


def _chosen(labels: NDArray[np.int64], count: int, seed: int, where: str) -> NDArray[np.int64]:
    classes, sizes = np.unique(labels, return_counts=True)
    if count < len(classes):
        raise DataError(
            f"{count} samples cannot hold each of {len(classes)} classes",
            where=where,
            hint="raise the recipe's samples",
        )
    generator = np.random.default_rng(seed)
    picked = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, _shares(sizes, count), strict=True)
    ]
    places: NDArray[np.int64] = np.sort(np.concatenate(picked))
    return places


def _shares(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Largest remainders of `count` split by `sizes`, with at least one each."""
    exact = count * sizes / sizes.sum()
    shares: NDArray[np.int64] = np.maximum(1, np.floor(exact).astype(np.int64))
    while shares.sum() != count:
        if shares.sum() < count:
            shares[np.argmax(np.where(shares < sizes, exact - shares, -np.inf))] += 1
        else:
            shares[np.argmax(np.where(shares > 1, shares - exact, -np.inf))] -= 1
    return shares


def _picked(source: BatchSource, places: NDArray[np.int64]) -> tuple[Tensors, ...]:
    samples: list[Tensors] = []
    for at, (inputs, _) in enumerate(source.epoch(batch_size=BATCH_SIZE)):
        inside = places[(places >= at * BATCH_SIZE) & (places < (at + 1) * BATCH_SIZE)]
        singles = (rows(inputs, slice(index, index + 1)) for index in inside - at * BATCH_SIZE)
        samples += [mapped(torch.Tensor.clone, single) for single in singles]
        if len(samples) == len(places):
            break
    return tuple(samples)
