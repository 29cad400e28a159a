"""Batches looked at as they pass, so that no sample counts for what it is not.

Before a run a thousand samples of each split are looked at (`data.check`). What is beyond them is
met when it is used: every batch of validation and test as it is scored, and of training as it is
trained on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgespiral.core.batches import (
    AugmentedSource,
    BatchSource,
    DataSplits,
    NamedSource,
    StoredSource,
)
from edgespiral.core.errors import DataError, first_few
from edgespiral.core.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

NO_LABELS = "samples have no labels"
ONE_INPUT = (
    "a model takes one tensor here: put the parts into one and take them apart in its forward"
)


def guarded(splits: DataSplits) -> DataSplits:
    """`splits` whose parts look at every batch that they hand on; guarded ones are as they are."""

    def part(source: BatchSource, name: str) -> Guarded:
        return source if isinstance(source, Guarded) else Guarded(source, name, splits)

    return replace(
        splits,
        train=part(splits.train, "train"),
        validation=part(splits.validation, "validation"),
        test=part(splits.test, "test"),
    )


@dataclass(frozen=True, eq=False)
class Guarded:
    """A supply of batches that stops at the first one which is not what was declared.

    Attributes:
        source: where the batches come from.
        part: what the split is called.
        splits: what its batches are to be like.
    """

    source: BatchSource
    part: str
    splits: DataSplits

    def __len__(self) -> int:
        with user_code(DataError, "its length cannot be told", where=self._where):
            return len(self.source)

    def unaugmented(self) -> Guarded:
        """See `core.batches.AugmentedSource`; the same where the source knows no other view."""
        if not isinstance(self.source, AugmentedSource):
            return self
        with user_code(DataError, "unaugmented() failed", where=self._where):
            return replace(self, source=self.source.unaugmented())

    def order(self, seed: int) -> Tensor | None:
        """See `core.batches.StoredSource`; None where the source does not know."""
        if not isinstance(self.source, StoredSource):
            return None
        with user_code(DataError, f"order({seed}) failed", where=self._where):
            return self.source.order(seed)

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `core.batches.BatchSource`.

        Raises:
            DataError: the source fails, a batch is not what was declared or has not as many samples
                as were asked for, a pass in stored order has not as many samples as the source
                says, or a shuffled one has fewer whole batches; the place is named.
        """
        with user_code(DataError, "cannot be read", where=self._where):
            batches = iter(
                self.source.epoch(batch_size=batch_size, seed=seed, first_batch=first_batch)
            )
        seen, declared = first_batch * batch_size, len(self)
        for number in itertools.count(first_batch):
            failed = f"cannot be read at batch {number}, from sample {seen} of the pass on"
            with user_code(DataError, failed, where=self._where):
                batch = next(batches, None)
            if batch is None:
                break
            checked = self._checked(batch, seen, seed)
            self._require_count(len(checked[1]), batch_size)
            yield checked
            seen += len(checked[1])
            if seed is None and seen > declared:
                break
        self._require_pass(
            seen, declared, first_batch * batch_size, None if seed is None else batch_size
        )

    def _require_count(self, count: int, batch_size: int) -> None:
        if not 1 <= count <= batch_size:
            what = f"a batch has {count} samples, and 1 to {batch_size} were asked for"
            raise DataError(what, where=self._where)

    def _require_pass(self, seen: int, declared: int, first: int, dropping: int | None) -> None:
        """Refuse a pass of another length; what is shuffled may drop the rest of a batch."""
        wanted = max(declared, first)
        is_whole = seen == wanted if dropping is None else seen > wanted - dropping
        if not is_whole:
            amount = "more" if seen > declared else seen
            raise DataError(
                f"a pass has {amount} samples, and its length is {declared}", where=self._where
            )

    def _checked(
        self, batch: tuple[Tensor, Tensor], seen: int, seed: int | None
    ) -> tuple[Tensor, Tensor]:
        with user_code(DataError, "its batches are not (inputs, labels)", where=self._where):
            inputs, labels = batch
            problem = _problem(inputs, labels, self.splits)
        if problem is None:
            return inputs, labels
        row = "" if problem.row is None else f", first at {self.place(seen + problem.row, seed)}"
        raise DataError(f"{problem.what}{row}{problem.why}", where=self._where)

    def place(self, position: int, seed: int | None) -> str:
        """See `core.batches.NamedSource`."""
        if isinstance(self.source, NamedSource):
            return self.source.place(position, seed)
        return f"sample {position}{'' if seed is None else ' of a shuffled pass'}"

    @property
    def _where(self) -> str:
        return f"{self.splits.name}: {self.part}"


@dataclass(frozen=True)
class _Problem:
    """What is wrong with a batch, and its first row where it is."""

    what: str
    row: int | None = None
    why: str = ""


def several(inputs: object) -> str | None:
    """What inputs are that are not one tensor, in words; None where they are one."""
    import torch

    if isinstance(inputs, torch.Tensor):
        return None
    if isinstance(inputs, Mapping):
        parts = [f"{name} {_shape(value)}" for name, value in inputs.items()]
    elif isinstance(inputs, (tuple, list)):
        parts = [_shape(value) for value in inputs]
    else:
        return f"inputs are of type {type(inputs).__name__}, not tensors"
    return f"inputs are a {type(inputs).__name__} of {len(parts)}: {first_few(parts)}"


def _shape(value: object) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else str(tuple(shape[1:]))


def _problem(inputs: Tensor, labels: Tensor, splits: DataSplits) -> _Problem | None:
    import torch

    parts = several(inputs)
    if parts:
        return _Problem(parts, why=f"; {ONE_INPUT}")
    if tuple(inputs.shape[1:]) != splits.input_shape:
        return _Problem(f"inputs are {tuple(inputs.shape[1:])}, declared as {splits.input_shape}")
    if not isinstance(labels, torch.Tensor):
        why = "; training, scores and criteria that use gradients need them"
        return _Problem(NO_LABELS, why=why)
    return _wrong_values(inputs, splits) or _wrong_targets(labels, len(inputs), splits)


def _wrong_targets(targets: Tensor, count: int, splits: DataSplits) -> _Problem | None:
    import torch

    if splits.target_shape is None:
        differs = len(targets) != count
        return _Problem(f"{len(targets)} targets for {count} inputs") if differs else None
    shape = (count, *splits.target_shape)
    if targets.dtype != torch.int64 or targets.shape != shape:
        declared = ", ".join(map(str, ("samples", *splits.target_shape)))
        declared += "" if splits.target_shape else ","
        name = "masks" if splits.target_shape else "labels"
        return _Problem(
            f"{name} are {targets.dtype} {tuple(targets.shape)}, not torch.int64 ({declared})"
        )
    return _wrong_classes(targets, splits)


def _wrong_classes(targets: Tensor, splits: DataSplits) -> _Problem | None:
    classes, ignored = len(splits.class_names), splits.ignored_class
    outside = (targets < 0) | (targets >= classes)
    if ignored is not None:
        outside &= targets != ignored
    if not bool(outside.any()):
        return None
    strange = targets if ignored is None else targets[targets != ignored]
    low, high = int(strange.min()), int(strange.max())
    name = "masks have classes" if targets.ndim > 1 else "labels run"
    besides = "" if ignored is None else f", and {ignored} for what does not count"
    allowed = f"but {classes} classes allow 0 to {classes - 1}{besides}"
    rows = outside.flatten(1).any(dim=1) if targets.ndim > 1 else outside
    return _Problem(f"{name} from {low} to {high}, {allowed}", _first(rows))


def _wrong_values(inputs: Tensor, splits: DataSplits) -> _Problem | None:
    if inputs.dtype != splits.input_dtype:
        return _Problem(f"inputs are {inputs.dtype}, not {splits.input_dtype}")
    # A sum is finite only if all are, and takes a fifth of the time; it may overflow all the same.
    if not bool(inputs.sum().isfinite()) and not bool(inputs.isfinite().all()):
        rows = ~inputs.isfinite().flatten(1).all(dim=1)
        return _Problem("inputs have NaN or infinite values", _first(rows))
    count = splits.token_count
    if count is not None and not 0 <= int(inputs.min()) <= int(inputs.max()) < count:
        rows = ((inputs < 0) | (inputs >= count)).flatten(1).any(dim=1)
        span = f"token ids run from {inputs.min()} to {inputs.max()}"
        return _Problem(f"{span}, declared as below {count}", _first(rows))
    return None


def _first(rows: Tensor) -> int:
    return int(rows.nonzero()[0])
