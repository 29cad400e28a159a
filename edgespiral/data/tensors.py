"""A batch source over tensors in memory, with augmentation of whole batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from edgespiral.core.nested import count, rows
from edgespiral.core.seeds import derived_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from edgespiral.core.nested import Tensors


@dataclass(frozen=True)
class Augmentation:
    """Random crop after padding by `crop_pad` pixels of zeros, and a mirror image half the time."""

    crop_pad: int
    flip: bool


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, in units of the stored values, each (C,)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, inputs: Tensor) -> Normalisation:
        """The statistics of `inputs` (N, C, H, W); a constant channel is left unscaled."""
        std, mean = torch.std_mean(inputs.float(), dim=(0, 2, 3), correction=0)
        return cls(mean, torch.where(std > 0, std, torch.ones_like(std)))

    @property
    def figures(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Means and deviations as plain numbers."""
        return tuple(self.mean.tolist()), tuple(self.std.tolist())

    def __call__(self, inputs: Tensor) -> Tensor:
        """Float32, zero mean and unit deviation for inputs like those of `of`."""
        scale = (1 / self.std).view(1, -1, 1, 1)
        return torch.addcmul((-self.mean / self.std).view(1, -1, 1, 1), inputs.float(), scale)


class TensorSource:
    """Labelled samples held in memory in their stored type (uint8 for images).

    Args:
        inputs: (N, C, H, W), any real type.
        labels: (N,), int64.
        normalisation: applied to every batch.
        augmentation: applied to shuffled passes only.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        normalisation: Normalisation,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._inputs = inputs
        self._labels = labels
        self._normalise = normalisation
        self._augmentation = augmentation

    def __len__(self) -> int:
        return len(self._labels)

    def unaugmented(self) -> TensorSource:
        """See `core.batches.AugmentedSource`."""
        return TensorSource(self._inputs, self._labels, self._normalise)

    def order(self, seed: int) -> Tensor | None:
        """See `core.batches.StoredSource`."""
        return self._order(seed) if self._augmentation is None else None

    def _order(self, seed: int) -> Tensor:
        return torch.randperm(len(self), generator=_generator(derived_seed(seed)))

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `core.batches.BatchSource`."""
        if seed is None:
            yield from self._in_order(batch_size, first_batch)
        else:
            yield from self._shuffled(batch_size, seed, first_batch)

    def _in_order(self, batch_size: int, first_batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(first_batch * batch_size, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield self._normalise(self._inputs[part]), self._labels[part]

    def _shuffled(
        self, batch_size: int, seed: int, first_batch: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order = self._order(seed)
        for index in range(first_batch, len(self) // batch_size):
            indices = order[index * batch_size : (index + 1) * batch_size]
            inputs = self._inputs[indices]
            if self._augmentation is not None:
                generator = _generator(derived_seed(seed, index))
                inputs = augment(inputs, self._augmentation, generator)
            yield self._normalise(inputs), self._labels[indices]


def augment(inputs: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Crop and mirror each sample of (N, C, H, W) by its own draw; one gather for the batch."""
    count, _, height, width = inputs.shape
    rows = torch.arange(height) + _offsets(count, how.crop_pad, generator)
    columns = torch.arange(width).expand(count, -1)
    if how.flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    columns = columns + _offsets(count, how.crop_pad, generator)
    padded = F.pad(inputs, (how.crop_pad,) * 4)
    samples = torch.arange(count)[:, None, None]
    gathered = padded.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None, :]]
    return gathered.permute(0, 3, 1, 2)


def _offsets(count: int, pad: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2 * pad + 1, (count, 1), generator=generator)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class StoredRows:
    """Samples held in memory, of any number of inputs and targets, shown as they are stored.

    Args:
        inputs: (N, ...), one tensor or several.
        targets: (N, ...), likewise.
        names: what errors call each sample, such as its line; its index if not given.

    Example:
        >>> source = StoredRows({"age": torch.tensor([[3.0], [4.0]])}, torch.tensor([0, 1]))
        >>> [labels.tolist() for _, labels in source.epoch(batch_size=2)]
        [[0, 1]]
    """

    def __init__(
        self, inputs: Tensors, targets: Tensors, names: Sequence[str] | None = None
    ) -> None:
        self._inputs, self._targets, self._names = inputs, targets, names

    def __len__(self) -> int:
        return count(self._inputs)

    def order(self, seed: int) -> Tensor:
        """See `core.batches.StoredSource`."""
        return torch.randperm(len(self), generator=_generator(derived_seed(seed)))

    def place(self, position: int, seed: int | None) -> str:
        """See `data.guard.NamedSource`."""
        at = position if seed is None else int(self.order(seed)[position])
        return f"sample {at}" if self._names is None else self._names[at]

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensors, Tensors]]:
        """See `core.batches.BatchSource`."""
        size = len(self)
        order = torch.arange(size) if seed is None else self.order(seed)
        end = size if seed is None else size // batch_size * batch_size
        for start in range(first_batch * batch_size, end, batch_size):
            indices = order[start : start + batch_size]
            yield rows(self._inputs, indices), rows(self._targets, indices)
