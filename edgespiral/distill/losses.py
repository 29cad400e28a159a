"""Distillation losses by name. All take logits and return a scalar to minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch.nn import functional as F

from edgespiral.core.registry import Registry
from edgespiral.tasks import classification

if TYPE_CHECKING:
    from torch import Tensor


class DistillationLoss(Protocol):
    """(1-alpha) * cross-entropy + alpha * a distance between student and teachers."""

    def __call__(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        labels: Tensor,
        *,
        temperature: float,
        alpha: float,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Scalar loss.

        Args:
            student_logits: (N, C).
            teacher_logits: (N, C), or (T, N, C) for T teachers, whose softened outputs are
                averaged.
            labels: (N,), int64.
            temperature: what logits are divided by before the softmax, > 0.
            alpha: weight of the distance, 0 to 1.
            label_smoothing: of the cross-entropy.
        """
        ...


class Distance(Protocol):
    """How far the student is from its teachers."""

    def __call__(
        self, student_logits: Tensor, teacher_logits: Tensor, temperature: float
    ) -> Tensor:
        """Scalar; `teacher_logits` is (T, N, C)."""
        ...


# One, because no other has won (docs/training.md); a bench may add its own.
DISTANCES: Registry[Distance] = Registry("loss")


def names() -> list[str]:
    """The names that `get` knows."""
    return DISTANCES.names()


def get(name: str) -> DistillationLoss:
    """The loss called `name`, such as `kd`.

    Raises:
        UsageError: no such loss; the nearest names are given.
    """
    distance = DISTANCES.get(name)

    def combined(
        student_logits: Tensor,
        teacher_logits: Tensor,
        labels: Tensor,
        *,
        temperature: float,
        alpha: float,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        student = student_logits.float()
        teachers = teacher_logits.float().reshape(-1, *student.shape)
        soft = distance(student, teachers, temperature)
        hard = classification.loss(student, labels, label_smoothing=label_smoothing)
        return (1 - alpha) * hard + alpha * soft

    return combined


@DISTANCES.register("kd")
def kl_distance(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """tau^2 * KL(softmax(z_t/tau) || softmax(z_s/tau)), a mean over samples.

    Source: Hinton et al. 2015, section 2. Shapes: (N, C) and (T, N, C).
    """
    soft = F.softmax(teacher_logits / temperature, dim=-1).mean(dim=0)
    log_student = F.log_softmax(student_logits / temperature, dim=-1)
    return temperature**2 * F.kl_div(log_student, soft, reduction="batchmean")


distillation_loss = get("kd")
