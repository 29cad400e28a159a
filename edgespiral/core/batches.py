"""What data looks like to the spiral: three restartable supplies of labelled batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class BatchSource(Protocol):
    """A restartable supply of labelled batches."""

    def __len__(self) -> int:
        """Number of samples in one pass."""
        ...

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(inputs, labels)`: float32 (N, C, H, W), already normalised, and int64 (N,).

        With `seed=None` the stored order, no augmentation, the short last batch kept. With a
        seed, order and augmentation are functions of (seed, batch index) alone, so that a pass
        resumed at `first_batch` goes on exactly as it would have; the short last batch is dropped.
        """
        ...


@dataclass(frozen=True)
class DataSplits:
    """A data set in three parts: training, validation (steers the run), test (reported once)."""

    name: str
    train: BatchSource
    validation: BatchSource
    test: BatchSource
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
