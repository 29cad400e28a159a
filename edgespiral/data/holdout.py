"""Parts held out of a set: classes in proportion, or whatever is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edgespiral.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Sample = TypeVar("Sample")


def hold_out(
    labels: NDArray[np.int64], count: int, *, where: str, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), each ascending, `count` of them held out, classes in proportion.

    Args:
        labels: a class for each sample, (N,).
        count: of samples that are held out.
        where: the file or folder that they are of, for messages.
        seed: of what is drawn.

    Raises:
        DataError: a class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    try:
        rest, held_out = train_test_split(
            np.arange(len(labels)), test_size=count, random_state=seed, stratify=labels
        )
    except ValueError as error:
        raise DataError(
            f"cannot hold {count} of {len(labels)} samples out for validation or test: {error}",
            where=where,
            hint="every class needs several samples; provide the splits yourself otherwise",
        ) from error
    return np.sort(rest), np.sort(held_out)


def drawn_apart(samples: Sequence[Sample], part: float) -> tuple[list[Sample], list[Sample]]:
    """(the rest, about `part` of the samples and at least one), the same for every seed of a run.

    Example:
        >>> kept, held = drawn_apart("abcdefghij", 0.2)
        >>> len(kept), len(held)
        (8, 2)
    """
    drawn = np.random.default_rng(0).permutation(len(samples))
    held_out = set(drawn[: max(1, round(part * len(samples)))].tolist())
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for index, sample in enumerate(samples):
        sides[index in held_out].append(sample)
    return sides
