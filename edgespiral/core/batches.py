"""What data looks like to the spiral: three restartable supplies of labelled batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor


class BatchSource(Protocol):
    """A restartable supply of batches of inputs and targets."""

    def __len__(self) -> int:
        """Number of samples in one pass."""
        ...

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(inputs, targets)`: float32 (N, C, H, W), already normalised, and int64 (N,).

        Inputs of sequences are float32 (N, T, features), or int64 token ids (N, T). Targets are
        labels, masks (N, H, W), or whatever else the task takes.

        With `seed=None` the stored order, no augmentation, the short last batch kept. With a
        seed, order and augmentation are functions of (seed, batch index) alone, so that a pass
        resumed at `first_batch` goes on exactly as it would have; the short last batch is dropped.
        """
        ...


@runtime_checkable
class AugmentedSource(BatchSource, Protocol):
    """A supply whose shuffled passes may show random views of its samples."""

    def unaugmented(self) -> BatchSource:
        """The same samples, in the same order for the same seed, as they are stored."""
        ...


@runtime_checkable
class StoredSource(BatchSource, Protocol):
    """A supply that may know which samples a shuffled pass shows, and that it alters none."""

    def order(self, seed: int) -> Tensor | None:
        """Indices (N,) into the stored order, or None where passes may show random views."""
        ...


@runtime_checkable
class NamedSource(BatchSource, Protocol):
    """A supply that can say which sample it shows."""

    def place(self, position: int, seed: int | None) -> str:
        """What the sample at `position` of the pass of `seed` is called: its file, or its index."""
        ...


@dataclass(frozen=True)
class Normalisation:
    """What was done to pixels from 0 to 1: `(pixel - mean) / std`, a channel each."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class DataSplits:
    """A data set in three parts: training, validation (steers the run), test (reported once).

    Attributes:
        name: what messages call it.
        class_names: of tasks whose targets are classes, else empty.
        input_shape: without the batch.
        token_count: inputs are token ids below it.
        target_shape: of one sample's classes: () for one, (H, W) for a mask; None where targets are
            of the task's own kind, which then checks them.
        ignored_class: that of targets which count for nothing, such as 255 in masks.
        normalisation: of images, where it is known.
        notes: what a person should know of the data, a line each, before time is spent on it.
    """

    name: str
    train: BatchSource
    validation: BatchSource
    test: BatchSource
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    token_count: int | None = None
    target_shape: tuple[int, ...] | None = ()
    ignored_class: int | None = None
    normalisation: Normalisation | None = None
    notes: tuple[str, ...] = ()

    @property
    def input_dtype(self) -> torch.dtype:
        """The type of the inputs: float32, or int64 for token ids."""
        import torch

        return torch.float32 if self.token_count is None else torch.int64

    def unaugmented(self) -> DataSplits:
        """The same, with training samples as they are stored where the source knows them so."""
        if not isinstance(self.train, AugmentedSource):
            return self
        return replace(self, train=self.train.unaugmented())


def first_inputs(splits: DataSplits, count: int = 5) -> Tensor:
    """Inputs of the first validation samples, (N, *input_shape) with N up to `count`."""
    inputs, _ = next(iter(splits.validation.epoch(batch_size=count)))
    return inputs
