"""A batch source over rows in memory: inputs and targets of any form, shown as they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.core.nested import count, rows
from edgespiral.core.seeds import derived_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from edgespiral.core.nested import Tensors


class StoredRows:
    """Labelled rows held in memory.

    Args:
        inputs: (N, ...), one tensor or several.
        targets: (N, ...), likewise.
        named: what errors call the row at a place; its number if not given.

    Example:
        >>> source = StoredRows({"age": torch.tensor([[3.0], [4.0]])}, torch.tensor([0, 1]))
        >>> [labels.tolist() for _, labels in source.epoch(batch_size=2)]
        [[0, 1]]
    """

    def __init__(
        self, inputs: Tensors, targets: Tensors, named: Callable[[int], str] | None = None
    ) -> None:
        self._inputs, self._targets, self._named = inputs, targets, named

    def __len__(self) -> int:
        return count(self._inputs)

    def order(self, seed: int) -> Tensor:
        """See `core.batches.StoredSource`."""
        generator = torch.Generator().manual_seed(derived_seed(seed))
        return torch.randperm(len(self), generator=generator)

    def place(self, position: int, seed: int | None) -> str:
        """See `data.guard.NamedSource`."""
        at = position if seed is None else int(self.order(seed)[position])
        return f"row {at}" if self._named is None else self._named(at)

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensors, Tensors]]:
        """See `core.batches.BatchSource`."""
        size = len(self)
        order = torch.arange(size) if seed is None else self.order(seed)
        end = size if seed is None else size // batch_size * batch_size
        for start in range(first_batch * batch_size, end, batch_size):
            chosen = order[start : start + batch_size]
            yield rows(self._inputs, chosen), rows(self._targets, chosen)
