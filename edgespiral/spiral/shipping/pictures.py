"""Some samples of the test split, as the teacher's file and the published one see or say them."""

from __future__ import annotations

import base64
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgespiral.core.batches import NamedSource
from edgespiral.core.nested import joined
from edgespiral.core.records.exported import ComparedPicture, ComparedText, Confusion
from edgespiral.data.stratified import parts_of
from edgespiral.export.parity import predicting_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Task

PICTURES, TEXTS, CONFUSIONS = 4, 10, 12
# Of the test split, in parts from all over it.
MOST_CONFUSED, PARTS = 500, 20
QUALITY = 85


def compared_texts(
    teacher: Path, student: Path, splits: DataSplits, task: Task
) -> tuple[ComparedText, ...]:
    """What both files say, in words, where `task` has words, and more than a class's name.

    The arguments are those of `compared_pictures`.

    Raises:
        ExportError: ONNX Runtime cannot run one of them.
    """
    if splits.target_shape == ():
        return ()
    chosen, inputs, targets = _drawn(splits.test, TEXTS)
    by_model = []
    for file in (teacher, student):
        with predicting_file(file) as predict, torch.inference_mode():
            texts = task.texts(task.answers(predict, inputs), targets, splits)
        if texts is None:
            return ()
        by_model.append(texts)
    return tuple(
        ComparedText(sample=_name(splits.test, at), meant=meant, teacher=before, student=after)
        for at, (meant, before), (_, after) in zip(chosen, *by_model, strict=True)
    )


def confusions_of(
    teacher: Path, student: Path, splits: DataSplits, task: Task
) -> tuple[tuple[Confusion, ...], int]:
    """Which classes both files take for which, the commonest first, and of how many samples.

    Nothing where a sample's target is not a class. The arguments are those of `compared_pictures`.

    Raises:
        ExportError: ONNX Runtime cannot run one of them.
    """
    if splits.target_shape != () or not len(splits.test):
        return (), 0
    drawn = parts_of(splits.test, MOST_CONFUSED, parts=PARTS)
    batches = [batch for part in drawn for batch in part]
    inputs, targets = (joined(side) for side in zip(*batches, strict=True))
    counts = []
    for file in (teacher, student):
        with predicting_file(file) as predict, torch.inference_mode():
            named = task.texts(task.answers(predict, inputs), targets, splits)
        if named is None:
            return (), 0
        counts.append(Counter((meant, answer) for meant, answer in named if meant != answer))
    both = counts[0] + counts[1]
    return tuple(
        Confusion(meant=pair[0], said=pair[1], teacher=counts[0][pair], student=counts[1][pair])
        for pair, _ in sorted(both.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    ), len(batches)


def compared_pictures(
    teacher: Path, student: Path, splits: DataSplits, task: Task
) -> tuple[ComparedPicture, ...]:
    """What `task` draws of both files' outputs; nothing where it draws nothing.

    Args:
        teacher, student: ONNX files of batch 1.
        splits: of whose test part some samples are taken, from all over it.
        task: see `Task.pictures`.

    Raises:
        ExportError: ONNX Runtime cannot run one of them.
    """
    chosen, inputs, targets = _drawn(splits.test, PICTURES)
    drawn = []
    for file in (teacher, student):
        with predicting_file(file) as predict, torch.inference_mode():
            pictures = task.pictures(inputs, predict(inputs), targets, splits)
        if pictures is None:
            return ()
        drawn.append([_jpeg(picture) for picture in pictures])
    names = [_name(splits.test, at) for at in chosen]
    return tuple(
        ComparedPicture(sample=name, teacher=before, student=after)
        for name, before, after in zip(names, *drawn, strict=True)
    )


def _drawn(source: BatchSource, most: int) -> tuple[list[int], Tensors, Tensors]:
    """Places of some samples from all over a split, their inputs and their targets."""
    chosen = sorted({int(at) for at in np.linspace(0, len(source) - 1, most)})
    batches = [next(islice(source.epoch(batch_size=1, first_batch=at), 1)) for at in chosen]
    return (
        chosen,
        joined([inputs for inputs, _ in batches]),
        joined([meant for _, meant in batches]),
    )


def _name(source: object, at: int) -> str:
    """The sample's own name without the folders of this machine, where it has one."""
    name = source.place(at, None) if isinstance(source, NamedSource) else f"sample {at}"
    return name.rpartition("/")[2]


def _jpeg(picture: Tensor) -> str:
    # It brings torchvision's models and PyTorch's compiler along, and most runs have no pictures.
    from torchvision.io import encode_jpeg

    data = encode_jpeg(picture.contiguous(), quality=QUALITY).numpy().tobytes()
    return base64.b64encode(data).decode("ascii")
