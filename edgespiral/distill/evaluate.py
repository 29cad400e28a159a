"""The score of a model on a split."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.nested import count, shapes
from edgespiral.core.user_code import user_code
from edgespiral.distill import compute
from edgespiral.distill.fuse import for_inference
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating
from edgespiral.tasks.base import BATCH_SIZE
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.nested import Tensors
    from edgespiral.distill.settings import Precision
    from edgespiral.tasks.base import Predict, Scored, Task


def score(
    model: nn.Module,
    source: BatchSource,
    *,
    task: Task = CLASSIFICATION,
    batch_size: int = BATCH_SIZE,
    precision: Precision = "auto",
) -> float:
    """What `task` scores over one whole pass in stored order, in its metric's unit.

    Runs in eval mode on the best device; the model's mode and place are put back.
    """
    with predicting(model, precision=precision) as predict:
        return task.score(predict, source, batch_size=batch_size)


def scored(model: nn.Module, source: BatchSource, *, task: Task = CLASSIFICATION) -> Scored:
    """What `score` returns, and the figures that `task` reports beside it, of one pass."""
    with predicting(model) as predict:
        return task.scored(predict, source)


@contextmanager
def predicting(model: nn.Module, *, precision: Precision = "auto") -> Iterator[Predict]:
    """What `model` says of a batch, in eval mode on the best device, while in the context.

    Its outputs stay on that device. The model's mode and place are put back.
    """
    device = compute.best_device()
    resolved = compute.resolved_precision(precision, device)
    with evaluating(model):
        asked = for_inference(model)

        def predict(inputs: Tensors) -> Tensors:
            failed = f"the model fails on {count(inputs)} samples of {shapes(inputs)}"
            with user_code(ModelError, failed, where=type(model).__name__):
                return call(asked, compute.inputs_to(inputs, device))

        with (
            compute.placed([asked], device),
            torch.inference_mode(),
            compute.autocast(resolved, device),
        ):
            yield predict
