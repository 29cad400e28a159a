"""Single-label image classification: what its loss and its metric are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from edgespiral.core.batches import BatchSource

    Predict = Callable[[Tensor], Tensor]

BATCH_SIZE = 250


def loss(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of logits (N, C) and labels (N,), in nats; a scalar."""
    return F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)


def sample_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each sample (N,), in nats, of logits (N, C) and labels (N,)."""
    return F.cross_entropy(logits.float(), labels, reduction="none")


def correct_count(logits: Tensor, labels: Tensor) -> Tensor:
    """How many of N samples have their label as the largest logit; a scalar int64 tensor."""
    return (logits.argmax(dim=1) == labels).sum()


def top1_percent(logits: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy of logits (N, C) and labels (N,), in percent."""
    return 100.0 * float(correct_count(logits, labels)) / len(labels)


def score(predict: Predict, source: BatchSource, *, batch_size: int = BATCH_SIZE) -> float:
    """Top-1 accuracy over one whole pass in stored order, in percent.

    Args:
        predict: logits (N, C) of inputs (N, ...), on whatever device: of a PyTorch model, or of an
            exported file, so that both are scored by the same code.
        source: what to score on.
        batch_size: samples that `predict` is given at once.
    """
    correct: Tensor | int = 0
    with torch.inference_mode():
        for inputs, labels in source.epoch(batch_size=batch_size):
            logits = predict(inputs)
            # Counted where the logits are, so that no batch waits for the one before.
            correct = correct + correct_count(logits, labels.to(logits.device))
    return 100.0 * int(correct) / len(source)
