"""Distillation losses by name. All take outputs and return a scalar to minimise."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

from edgespiral.core.errors import unknown_name
from edgespiral.core.nested import as_float, count, mapped, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from edgespiral.core.nested import Tensors
    from edgespiral.distill.settings import TrainSettings
    from edgespiral.tasks.base import Task

    UsualLoss = Callable[[Tensors, "Batch"], Tensor]


class Batch(NamedTuple):
    """What one step is about, on the training device.

    Attributes:
        inputs: (N, ...), as the data supplies them: a tensor, or several in a tuple or dict.
        targets: (N, ...), likewise.
        taught: the teachers' outputs (T, N, ...) for these inputs; None without teachers.
        step: steps done before this one.
        steps: of the whole training.
    """

    inputs: Tensors
    targets: Tensors
    taught: Tensors | None
    step: int
    steps: int


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


# The one with the task's own distance. No other has won (docs/training.md); a bench may add some.
TASKS_OWN = "kd"
DISTANCES: dict[str, Distance] = {}


def names() -> list[str]:
    """The names that `get` knows."""
    return sorted([TASKS_OWN, *DISTANCES])


def get(name: str, task: Task) -> DistillationLoss:
    """The loss called `name`, such as `kd`: with the distance of `task`.

    Raises:
        UsageError: no such loss; the nearest names are given.
    """
    if name not in names():
        raise unknown_name("loss", name, names())
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


def usual_loss(settings: TrainSettings, task: Task) -> UsualLoss:
    """The loss of outputs (N, ...) for a batch: the task's, and the distance to the teachers."""
    distilled = get(settings.loss, task)

    def loss(outputs: Tensors, batch: Batch) -> Tensor:
        smoothing = settings.label_smoothing
        if batch.taught is None:
            return task.loss(outputs, batch.targets, label_smoothing=smoothing)
        return distilled(
            outputs,
            batch.taught,
            batch.targets,
            temperature=settings.temperature,
            alpha=settings.alpha,
            label_smoothing=smoothing,
        )

    return loss


def loss_of(value: object) -> Tensor:
    """`value`, if it is a scalar that training can minimise.

    Raises:
        TypeError, ValueError: it is not.
    """
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"it returns a {type(value).__name__}, not a tensor")
    if value.numel() != 1:
        raise ValueError(f"it returns a tensor {tuple(value.shape)}, not one number")
    if not value.requires_grad:
        raise ValueError("what it returns does not depend on the student, so nothing is learned")
    return value.reshape(())


def parts(batch: Batch, number: int) -> Iterator[tuple[Batch, float]]:
    """A batch in `number` parts, itself where that is 1, each with its share of the samples."""
    if number == 1:
        yield batch, 1.0
        return
    samples = count(batch.inputs)
    bounds = [samples * part // number for part in range(number + 1)]
    for first, end in itertools.pairwise(bounds):
        some = slice(first, end)
        part = batch._replace(
            inputs=rows(batch.inputs, some),
            targets=rows(batch.targets, some),
            taught=rows(batch.taught, (slice(None), some)),
        )
        yield part, (end - first) / samples
