"""Stratified parts held out of a labelled set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def hold_out(
    labels: NDArray[np.int64], count: int, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), each ascending, `count` of them held out, classes in proportion.

    Raises:
        DataError: a class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    try:
        kept, held = train_test_split(
            np.arange(len(labels)), test_size=count, random_state=seed, stratify=labels
        )
    except ValueError as error:
        raise DataError(
            f"cannot hold {count} of {len(labels)} samples out for validation: {error}",
            hint="every class needs several samples; provide the splits yourself otherwise",
        ) from error
    return np.sort(kept), np.sort(held)
