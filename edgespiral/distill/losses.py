"""Distillation losses by name. All take logits and return a scalar to minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch.nn import functional as F

from edgespiral.core.registry import Registry
from edgespiral.tasks import classification

if TYPE_CHECKING:
    from torch import Tensor

# Sun et al. 2024 weigh their term 9 against 0.1 of cross-entropy.
STANDARDISED_WEIGHT = 9.0
TINY = 1e-7


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


_DISTANCES: Registry[Distance] = Registry("loss")


def names() -> list[str]:
    """The names that `get` knows."""
    return _DISTANCES.names()


def get(name: str) -> DistillationLoss:
    """The loss called `name`: `kd`, `standardised` or `dist`.

    Raises:
        UsageError: no such loss; the nearest names are given.
    """
    distance = _DISTANCES.get(name)

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


@_DISTANCES.register("kd")
def kl_distance(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """tau^2 * KL(softmax(z_t/tau) || softmax(z_s/tau)), a mean over samples.

    Source: Hinton et al. 2015, section 2. Shapes: (N, C) and (T, N, C).
    """
    soft = F.softmax(teacher_logits / temperature, dim=-1).mean(dim=0)
    log_student = F.log_softmax(student_logits / temperature, dim=-1)
    return temperature**2 * F.kl_div(log_student, soft, reduction="batchmean")


@_DISTANCES.register("standardised")
def standardised_distance(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> Tensor:
    """9 * `kl_distance` of logits standardised per sample to zero mean and unit deviation.

    Source: Sun et al. 2024 (logit standardisation), section 4, with their weight, so that
    alpha = 0.9 is close to their 0.1 * cross-entropy + 9 * distance.
    """
    student, teacher = standardised(student_logits), standardised(teacher_logits)
    return STANDARDISED_WEIGHT * kl_distance(student, teacher, temperature)


@_DISTANCES.register("dist")
def relation_distance(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """tau^2 * (1 - mean correlation per sample) + tau^2 * (1 - mean correlation per class).

    Source: Huang et al. 2022 (DIST), equations 5 to 10, inter-class and intra-class relations
    with equal weight; correlations are Pearson's, of the softened outputs.
    """
    student = F.softmax(student_logits / temperature, dim=-1)
    teacher = F.softmax(teacher_logits / temperature, dim=-1).mean(dim=0)
    inter = 1 - _correlation(student, teacher).mean()
    intra = 1 - _correlation(student.T, teacher.T).mean()
    return temperature**2 * (inter + intra)


def standardised(logits: Tensor) -> Tensor:
    """Logits (..., C) with zero mean and unit deviation over the classes of each sample."""
    centred = logits - logits.mean(dim=-1, keepdim=True)
    return centred / (logits.std(dim=-1, keepdim=True) + TINY)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation along the last dimension."""
    first = first - first.mean(dim=-1, keepdim=True)
    second = second - second.mean(dim=-1, keepdim=True)
    return F.cosine_similarity(first, second, dim=-1, eps=TINY)


distillation_loss = get("kd")
