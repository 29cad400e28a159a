"""Single-label image classification: what its loss and its metric are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def loss(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of logits (N, C) and labels (N,), in nats; a scalar."""
    return F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)


def correct_count(logits: Tensor, labels: Tensor) -> Tensor:
    """How many of N samples have their label as the largest logit; a scalar int64 tensor."""
    return (logits.argmax(dim=1) == labels).sum()


def top1_percent(logits: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy of logits (N, C) and labels (N,), in percent."""
    return 100.0 * float(correct_count(logits, labels)) / len(labels)
