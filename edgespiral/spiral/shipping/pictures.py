"""Some samples of the test split, as the teacher's file and the published one see or say them."""

from __future__ import annotations

import base64
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.io import encode_jpeg

from edgespiral.core.batches import NamedSource
from edgespiral.core.nested import joined
from edgespiral.core.records.exported import ComparedPicture, ComparedText
from edgespiral.export.parity import predicting_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Task

PICTURES, TEXTS = 4, 10
QUALITY = 85


def compared_texts(
    teacher: Path, student: Path, splits: DataSplits, task: Task
) -> tuple[ComparedText, ...]:
    """What both files say, in words, where `task` has words; the arguments are the next one's.

    Raises:
        ExportError: ONNX Runtime cannot run one of them.
    """
    chosen, inputs, targets = _drawn(splits.test, TEXTS)
    said = []
    for file in (teacher, student):
        with predicting_file(file) as predict, torch.inference_mode():
            texts = task.texts(task.answers(predict, inputs), targets, splits)
        if texts is None:
            return ()
        said.append(texts)
    return tuple(
        ComparedText(sample=_name(splits.test, at), meant=meant, teacher=before, student=after)
        for at, (meant, before), (_, after) in zip(chosen, *said, strict=True)
    )


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
    return chosen, joined([given for given, _ in batches]), joined([meant for _, meant in batches])


def _name(source: object, at: int) -> str:
    """The sample's own name without the folders of this machine, where it has one."""
    name = source.place(at, None) if isinstance(source, NamedSource) else f"sample {at}"
    return name.rpartition("/")[2]


def _jpeg(picture: Tensor) -> str:
    data = encode_jpeg(picture.contiguous(), quality=QUALITY).numpy().tobytes()
    return base64.b64encode(data).decode("ascii")
