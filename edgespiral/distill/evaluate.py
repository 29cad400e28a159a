"""Accuracy of a model on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.user_code import user_code
from edgespiral.distill import compute
from edgespiral.distill.fuse import for_inference
from edgespiral.tasks import classification

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.core.batches import BatchSource
    from edgespiral.distill.settings import Precision


def accuracy(
    model: nn.Module,
    source: BatchSource,
    *,
    batch_size: int = 250,
    precision: Precision = "auto",
) -> float:
    """Top-1 accuracy over one whole pass in stored order, in percent.

    Runs in eval mode on the best device; the model's mode and place are put back.
    """
    device = compute.best_device()
    was_training = model.training
    asked = for_inference(model.eval())
    with compute.placed([asked], device), torch.inference_mode():
        correct = _correct(asked, source, batch_size, precision, device)
    model.train(was_training)
    return 100.0 * correct / len(source)


def _correct(
    model: nn.Module,
    source: BatchSource,
    batch_size: int,
    precision: Precision,
    device: torch.device,
) -> int:
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with compute.autocast(compute.resolved_precision(precision, device), device):
        for batch in source.epoch(batch_size=batch_size):
            inputs, labels = compute.to_device(*batch, device)
            failed = f"the model fails on inputs of shape {tuple(inputs.shape)}"
            with user_code(ModelError, failed, where=type(model).__name__):
                logits = model(inputs)
            correct += classification.correct_count(logits, labels)
    return int(correct)
