"""Distillation losses by name. All take outputs and return a scalar to minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edgespiral.core.errors import unknown_name
from edgespiral.core.nested import as_float, mapped
from edgespiral.tasks.classification import CLASSIFICATION, kl_distance

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Task


class DistillationLoss(Protocol):
    """(1-alpha) * the task's loss + alpha * a distance between student and teachers."""

    def __call__(
        self,
        student_outputs: Tensors,
        teacher_outputs: Tensors,
        targets: Tensors,
        *,
        temperature: float,
        alpha: float,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Scalar loss.

        Args:
            student_outputs: (N, ...); here and below a tensor, or a tuple or a dict of them.
            teacher_outputs: (N, ...), or (T, N, ...) for T teachers, whose softened outputs are
                averaged.
            targets: (N, ...).
            temperature: what outputs are divided by before the softmax, > 0.
            alpha: weight of the distance, 0 to 1.
            label_smoothing: of the task's loss.
        """
        ...


class Distance(Protocol):
    """How far the student is from its teachers."""

    def __call__(
        self, student_outputs: Tensors, teacher_outputs: Tensors, temperature: float, /
    ) -> Tensor:
        """Scalar; `teacher_outputs` is (T, N, ...)."""
        ...


# Of the task's own. No other has won (docs/training.md); a bench may add some.
TASKS_OWN = "kd"
DISTANCES: dict[str, Distance] = {TASKS_OWN: kl_distance}


def names() -> list[str]:
    """The names that `get` knows."""
    return sorted(DISTANCES)


def get(name: str, task: Task = CLASSIFICATION) -> DistillationLoss:
    """The loss called `name`, such as `kd`: with the distance of `task`.

    Raises:
        UsageError: no such loss; the nearest names are given.
    """
    if name not in DISTANCES:
        raise unknown_name("loss", name, DISTANCES)
    distance = task.distance if name == TASKS_OWN else DISTANCES[name]

    def combined(
        student_outputs: Tensors,
        teacher_outputs: Tensors,
        targets: Tensors,
        *,
        temperature: float,
        alpha: float,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        student = as_float(student_outputs)
        teachers = mapped(
            lambda leaf, own: leaf.reshape(-1, *own.shape), as_float(teacher_outputs), student
        )
        soft = distance(student, teachers, temperature)
        hard = task.loss(student, targets, label_smoothing=label_smoothing)
        return (1 - alpha) * hard + alpha * soft

    return combined


distillation_loss = get("kd", CLASSIFICATION)
