"""Whether a data set can be trained on at all, told before time is spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError
from edgespiral.core.nested import count

if TYPE_CHECKING:
    from edgespiral.core.batches import BatchSource, DataSplits

# Two batches of two, which is the least that batch norms are trained with.
LEAST_TWICE = 4
CHECKED_SAMPLES = 1024


def check(splits: DataSplits, batch_size: int) -> None:
    """Look at sizes, and at the first thousand samples of each split.

    Raises:
        DataError: one class only, fewer training samples than a batch, an empty split, labels
            out of range, inputs of another shape or type than declared, several in one sample, or
            not finite; or samples of validation or test that are others the second time.
    """
    from edgespiral.data.guard import guarded
    from edgespiral.data.passes import check_repeats

    splits = guarded(splits)
    if splits.is_labelled and splits.target_shape is not None and len(splits.class_names) < 2:
        raise DataError("one class only; a classifier needs two or more", where=splits.name)
    if len(splits.train) < batch_size:
        raise DataError(
            f"{len(splits.train)} training samples are fewer than a batch of {batch_size}",
            where=splits.name,
            hint=f"choose a smaller --batch-size{_such_as(len(splits.train))}",
        )
    _look_at(splits.train, batch_size, seed=0)
    for part, source in (("validation", splits.validation), ("test", splits.test)):
        if len(source) == 0:
            raise DataError("no samples", where=f"{splits.name}: {part}")
        _look_at(source, batch_size, seed=None)
        check_repeats(source, f"{splits.name}: {part}")
    if splits.is_labelled and splits.target_shape is not None:
        _require_two_classes(splits, batch_size)


def _such_as(samples: int) -> str:
    """A batch that so few samples fill twice or more, if they can."""
    return f", such as {1 << ((samples // 2).bit_length() - 1)}" if samples >= LEAST_TWICE else ""


def _look_at(source: BatchSource, batch_size: int, *, seed: int | None) -> None:
    seen = 0
    for inputs, _ in source.epoch(batch_size=batch_size, seed=seed):
        seen += count(inputs)
        if seen >= CHECKED_SAMPLES:
            return


def _require_two_classes(splits: DataSplits, batch_size: int) -> None:
    first: int | None = None
    for _, labels in splits.train.epoch(batch_size=batch_size, seed=0):
        first = int(labels.flatten()[0]) if first is None else first
        if bool((labels != first).any()):
            return
    raise DataError("every training sample has the same label", where=f"{splits.name}: train")
