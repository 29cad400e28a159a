"""Whether a data set can be trained on at all, told before time is spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits

CHECKED_SAMPLES = 1024
NO_LABELS = "samples have no labels"


def check(splits: DataSplits, batch_size: int) -> None:
    """Look at sizes, and at the first thousand samples of each split.

    Raises:
        DataError: one class only, fewer training samples than a batch, an empty split, labels
            out of range, inputs of another shape or type than declared, or not finite.
    """
    if len(splits.class_names) < 2:
        raise DataError("one class only; a classifier needs two or more", where=splits.name)
    if len(splits.train) < batch_size:
        raise DataError(
            f"{len(splits.train)} training samples are fewer than a batch of {batch_size}",
            where=splits.name,
            hint="choose a smaller --batch-size",
        )
    _check_part(splits, "train", splits.train, batch_size, seed=0)
    for part, source in (("validation", splits.validation), ("test", splits.test)):
        if len(source) == 0:
            raise DataError("no samples", where=f"{splits.name}: {part}")
        _check_part(splits, part, source, batch_size, seed=None)
    _require_two_classes(splits, batch_size)


def _check_part(
    splits: DataSplits, part: str, source: BatchSource, batch_size: int, *, seed: int | None
) -> None:
    seen = 0
    for inputs, labels in source.epoch(batch_size=batch_size, seed=seed):
        problem = _problem(inputs, labels, splits)
        if problem:
            raise DataError(problem, where=f"{splits.name}: {part}")
        seen += len(labels)
        if seen >= CHECKED_SAMPLES:
            return


def _problem(inputs: Tensor, labels: Tensor, splits: DataSplits) -> str | None:
    import torch

    classes = len(splits.class_names)
    if tuple(inputs.shape[1:]) != splits.input_shape:
        return f"inputs are {tuple(inputs.shape[1:])}, declared as {splits.input_shape}"
    if not isinstance(labels, torch.Tensor):
        return f"{NO_LABELS}; training, accuracy and criteria that use gradients need them"
    wrong = _wrong_values(inputs, splits)
    if wrong:
        return wrong
    if labels.dtype != torch.int64 or labels.shape != inputs.shape[:1]:
        return f"labels are {labels.dtype} {tuple(labels.shape)}, not torch.int64 (samples,)"
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        return f"labels run from {low} to {high}, but {classes} classes allow 0 to {classes - 1}"
    return None


def _wrong_values(inputs: Tensor, splits: DataSplits) -> str | None:
    if inputs.dtype != splits.input_dtype:
        return f"inputs are {inputs.dtype}, not {splits.input_dtype}"
    if not bool(inputs.isfinite().all()):
        return "inputs have NaN or infinite values"
    count = splits.token_count
    if count is not None and not 0 <= int(inputs.min()) <= int(inputs.max()) < count:
        return f"token ids run from {inputs.min()} to {inputs.max()}, declared as below {count}"
    return None


def _require_two_classes(splits: DataSplits, batch_size: int) -> None:
    first: int | None = None
    for _, labels in splits.train.epoch(batch_size=batch_size, seed=0):
        first = int(labels[0]) if first is None else first
        if bool((labels != first).any()):
            return
    raise DataError("every training sample has the same label", where=f"{splits.name}: train")
