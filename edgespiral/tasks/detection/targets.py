"""Whether the targets of data are rows of objects, told with the sample before time is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgespiral.core.errors import DataError
from edgespiral.tasks.shared.checks import sample_place

if TYPE_CHECKING:
    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors

CHECKED_SAMPLES = 1024
BATCH = 64
COLUMNS = 5
# Formats count pixels from 0 or from 1, and round: a box may reach so far beyond the image.
SLACK_PIXELS = 1.0
HINT = (
    "each sample is (image (C, H, W) float32, rows (n, 5) of class, x0, y0, x1, y1 in pixels, "
    "padded with rows of class -1)"
)


def check_targets(splits: DataSplits) -> None:
    """Look at the first thousand samples of each split.

    Raises:
        DataError: no names of classes, targets of another form, an unknown class, a box of no area
            or outside of its image, or a split without an object.
    """
    if not splits.class_names:
        raise DataError("the names of the classes are not known", where=splits.name)
    parts = ("train", splits.train), ("validation", splits.validation), ("test", splits.test)
    for part, source in parts:
        _check_part(source, splits, f"{splits.name}: {part}")


def row_problem(targets: Tensors, splits: DataSplits) -> tuple[int, str] | None:
    """The first sample of a batch (N, rows, 5) with something wrong, and what that is."""
    if not isinstance(targets, Tensor) or targets.ndim != 3 or targets.shape[2] != COLUMNS:
        return 0, f"targets are {_form(targets)}, not rows of objects; {HINT}"
    return _problem(targets, splits)


def _form(targets: Tensors) -> object:
    return tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__


def _check_part(source: BatchSource, splits: DataSplits, where: str) -> None:
    seen, objects = 0, 0
    for _, targets in source.epoch(batch_size=BATCH):
        if not isinstance(targets, Tensor) or targets.ndim != 3 or targets.shape[2] != COLUMNS:
            raise DataError(
                f"targets are {_form(targets)}, not rows of objects", where=where, hint=HINT
            )
        problem = _problem(targets, splits)
        if problem:
            row, what = problem
            name = sample_place(source, seen + row)
            raise DataError(f"{name}: {what}", where=where, hint=HINT)
        objects += int((targets[..., 0] >= 0).sum())
        seen += len(targets)
        if seen >= CHECKED_SAMPLES:
            break
    if not objects:
        raise DataError(f"no object in {seen} samples", where=where)


def _problem(targets: Tensor, splits: DataSplits) -> tuple[int, str] | None:
    """The first sample with something wrong, and what that is."""
    classes, (height, width) = len(splits.class_names), splits.input_shape[1:]
    labels, corners = targets[..., 0], targets[..., 1:]
    there = labels >= 0
    edges = torch.tensor([width, height, width, height]) + SLACK_PIXELS
    tests = (
        (~targets.isfinite().all(-1), "is not finite"),
        ((labels != labels.round()) | (labels < -1) | (labels >= classes), "has no such class"),
        (there & (corners[..., 2:] <= corners[..., :2]).any(-1), "has no area"),
        (
            there & ((corners < -SLACK_PIXELS) | (corners > edges)).any(-1),
            f"reaches outside of the image of {width} x {height}",
        ),
    )
    for is_wrong, what in tests:
        if bool(is_wrong.any()):
            sample, row = is_wrong.nonzero()[0].tolist()
            values = ", ".join(f"{value:g}" for value in targets[sample, row].tolist())
            of_data = f"; there are {classes}" if "class" in what else ""
            return sample, f"the object ({values}) {what}{of_data}"
    return None
