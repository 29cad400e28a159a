"""Data without targets, for which a teacher's outputs are taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgespiral.core.batches import AugmentedSource, BatchSource, DataSplits, StoredSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from edgespiral.core.nested import Tensors

    Answer = Callable[[Tensors], Tensors]


def taught(splits: DataSplits, answer: Answer) -> DataSplits:
    """`splits` whose targets are what `answer` says of their inputs.

    A student is then scored by how near to its teacher it is.

    Args:
        splits: without targets.
        answer: targets (N, ...) of inputs (N, ...).
    """

    def part(source: BatchSource) -> Taught:
        return Taught(source, answer)

    return replace(
        splits,
        train=part(splits.train),
        validation=part(splits.validation),
        test=part(splits.test),
        is_labelled=True,
    )


@dataclass(frozen=True, eq=False)
class Taught:
    """A supply of batches whose targets are somebody's answers.

    Attributes:
        source: where the inputs come from.
        answer: see `taught`.
    """

    source: BatchSource
    answer: Answer

    def __len__(self) -> int:
        return len(self.source)

    def unaugmented(self) -> Taught:
        """See `core.batches.AugmentedSource`."""
        if not isinstance(self.source, AugmentedSource):
            return self
        return replace(self, source=self.source.unaugmented())

    def order(self, seed: int) -> Tensor | None:
        """See `core.batches.StoredSource`."""
        return self.source.order(seed) if isinstance(self.source, StoredSource) else None

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensors, Tensors]]:
        """See `core.batches.BatchSource`."""
        shown = self.source.epoch(batch_size=batch_size, seed=seed, first_batch=first_batch)
        for inputs, _ in shown:
            yield inputs, self.answer(inputs)
