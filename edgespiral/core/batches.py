"""What data looks like to the spiral: three restartable supplies of labelled batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch
    from torch import Tensor

    from edgespiral.core.nested import Tensors
    from edgespiral.core.stages.frames import Frames

    Retarget = Callable[[Tensors, Tensors], Tensors]
    Change = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]


# Symbols of transcripts, which are filled up with what is none: the blank between two symbols, and
# the end of a word.
NO_SYMBOL, BLANK, WORD_END = -1, 0, 1


class BatchSource(Protocol):
    """A restartable supply of batches of inputs and targets; one of your own needs no base class.

    Example:
        >>> import torch
        >>> class Noise:
        ...     def __len__(self):
        ...         return 32
        ...     def epoch(self, *, batch_size, seed=None, first_batch=0):
        ...         for number in range(first_batch, len(self) // batch_size):
        ...             drawn = torch.Generator().manual_seed(1000 * (seed or 0) + number)
        ...             inputs = torch.randn(batch_size, 3, generator=drawn)
        ...             yield inputs, torch.zeros(batch_size, dtype=torch.int64)
        >>> [len(inputs) for inputs, _ in Noise().epoch(batch_size=8, first_batch=2)] == [8, 8]
        True
    """

    def __len__(self) -> int:
        """Number of samples in one pass."""
        ...

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensors, Tensors]]:
        """Yield `(inputs, targets)`: float32 (N, C, H, W), already normalised, and int64 (N,).

        Inputs of sequences are float32 (N, T, features), or int64 token ids (N, T). Of several
        inputs there is a tuple, for a model that takes them in order, or a dict, for one that takes
        them by name. Targets are labels, masks (N, H, W), or whatever else the task takes: a
        tensor, a tuple or a dict; None where data is not labelled.

        With `seed=None` the stored order, no augmentation, the short last batch kept. With a
        seed, order and augmentation are functions of (seed, batch index) alone, so that a pass
        resumed at `first_batch` goes on exactly as it would have; the short last batch is dropped.

        Args:
            batch_size: samples a batch.
            seed: of the pass; None for the stored order.
            first_batch: how many batches are left out at the beginning.
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
class SharedSource(BatchSource, Protocol):
    """A supply that can load some samples of each batch alone, for one process of several."""

    def share(self, rows: Tensor) -> BatchSource | None:
        """The same shuffled passes, with these places (n,) of each batch; None where it cannot."""
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
class InputSpec:
    """What one input of a model is.

    Attributes:
        shape: without the batch.
        token_count: it has ids below it, whole numbers; None for any other.
        dtype: as torch calls it, such as `float32`; of ids `int64` if nothing else is said.
    """

    shape: tuple[int, ...]
    token_count: int | None = None
    dtype: str = ""

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type of its numbers."""
        import torch

        default = "float32" if self.token_count is None else "int64"
        dtype: torch.dtype = getattr(torch, self.dtype or default)
        return dtype


@dataclass(frozen=True)
class DataSplits:
    """A data set in three parts: training, validation (steers the run), test (reported once).

    Attributes:
        name: what messages call it.
        class_names: of tasks whose targets are classes, else empty.
        input_shape: without the batch; () where there are several inputs.
        token_count: inputs are token ids below it.
        target_shape: of one sample's classes: () for one, (H, W) for a mask; None where targets are
            of the task's own kind, which then checks them.
        ignored_class: that of targets which count for nothing, such as 255 in masks.
        normalisation: of images, where it is known.
        notes: what a person should know of the data, a line each, before time is spent on it.
        inputs: of data with several inputs, an `InputSpec` for each, in a tuple or a dict as its
            batches have them.
        is_labelled: its batches have targets; else these are None, and a teacher's outputs are
            taken for them.
        padding: the token id that fills sequences up and counts for nothing.
        sample_rate_hz: of inputs that are waveforms (1, samples).
        files: texts by file name that say what inputs and outputs stand for, such as a vocabulary;
            they ship beside the model.
        frames: what validation samples are made of, so that making them can be timed
            (`--timed pipeline`); None where that is not known.

    Example:
        >>> from edgespiral.data import load
        >>> digits = load("digits")
        >>> digits.input_shape, len(digits.class_names), len(digits.validation)
        ((1, 8, 8), 10, 270)
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
    inputs: tuple[InputSpec, ...] | dict[str, InputSpec] | None = None
    is_labelled: bool = True
    padding: int | None = None
    sample_rate_hz: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    frames: Frames | None = None

    @property
    def specs(self) -> Tensors:
        """An `InputSpec` for each input, by itself where there is one."""
        return self.inputs or InputSpec(self.input_shape, self.token_count)

    @property
    def input_dtype(self) -> torch.dtype:
        """The type of the inputs: float32, or int64 for token ids."""
        return InputSpec(self.input_shape, self.token_count).torch_dtype

    def unaugmented(self) -> DataSplits:
        """The same, with training samples as they are stored where the source knows them so."""
        if not isinstance(self.train, AugmentedSource):
            return self
        return replace(self, train=self.train.unaugmented())


def first_inputs(splits: DataSplits, count: int = 5) -> Tensors:
    """Inputs of the first validation samples, N of them up to `count`."""
    inputs, _ = next(iter(splits.validation.epoch(batch_size=count)))
    return inputs


def changed(splits: DataSplits, change: Change) -> DataSplits:
    """`splits` of which each batch is what `change` makes of its inputs and targets (N, ...)."""
    return replace(
        splits,
        train=Changed(splits.train, change),
        validation=Changed(splits.validation, change),
        test=Changed(splits.test, change),
    )


def retargeted(splits: DataSplits, target: Retarget) -> DataSplits:
    """`splits` of which each batch has the targets that `target` makes of it.

    Args:
        target: new targets of inputs (N, ...) and of the targets that they had.
    """
    with_targets = changed(splits, lambda inputs, targets: (inputs, target(inputs, targets)))
    return replace(with_targets, is_labelled=True)


@dataclass(frozen=True, eq=False)
class Changed:
    """A supply of other batches than its source's, sample by sample, see `changed`."""

    source: BatchSource
    change: Change

    def __len__(self) -> int:
        return len(self.source)

    def unaugmented(self) -> Changed:
        """See `AugmentedSource`."""
        if not isinstance(self.source, AugmentedSource):
            return self
        return replace(self, source=self.source.unaugmented())

    def order(self, seed: int) -> Tensor | None:
        """See `StoredSource`."""
        return self.source.order(seed) if isinstance(self.source, StoredSource) else None

    def share(self, rows: Tensor) -> Changed | None:
        """See `SharedSource`."""
        own = self.source.share(rows) if isinstance(self.source, SharedSource) else None
        return None if own is None else replace(self, source=own)

    def place(self, position: int, seed: int | None) -> str:
        """See `NamedSource`; by its number where the source knows no name."""
        if isinstance(self.source, NamedSource):
            return self.source.place(position, seed)
        return f"sample {position}"

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensors, Tensors]]:
        """See `BatchSource`."""
        batches = self.source.epoch(batch_size=batch_size, seed=seed, first_batch=first_batch)
        for inputs, targets in batches:
            yield self.change(inputs, targets)
