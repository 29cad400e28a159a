"""Distillation losses by name. All take outputs and return a scalar to minimise."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple, Protocol

from torch.utils._pytree import tree_map

from edgespiral.core.errors import unknown_name
from edgespiral.tasks.classification import CLASSIFICATION, kl_distance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from edgespiral.distill.settings import TrainSettings
    from edgespiral.tasks.base import Task

    UsualLoss = Callable[[Tensor, "Batch"], Tensor]


class Batch(NamedTuple):
    """What one step is about, on the training device.

    Attributes:
        inputs: (N, ...), as the data supplies them.
        targets: (N, ...).
        taught: the teachers' outputs (T, N, ...) for these inputs; None without teachers.
        step: steps done before this one.
        steps: of the whole training.
    """

    inputs: Tensor
    targets: Tensor
    taught: Tensor | None
    step: int
    steps: int


class DistillationLoss(Protocol):
    """(1-alpha) * the task's loss + alpha * a distance between student and teachers."""

    def __call__(
        self,
        student_outputs: Tensor,
        teacher_outputs: Tensor,
        targets: Tensor,
        *,
        temperature: float,
        alpha: float,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Scalar loss.

        Args:
            student_outputs: (N, ...).
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
        self, student_outputs: Tensor, teacher_outputs: Tensor, temperature: float, /
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
        student_outputs: Tensor,
        teacher_outputs: Tensor,
        targets: Tensor,
        *,
        temperature: float,
        alpha: float,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        student = student_outputs.float()
        teachers = teacher_outputs.float().reshape(-1, *student.shape)
        soft = distance(student, teachers, temperature)
        hard = task.loss(student, targets, label_smoothing=label_smoothing)
        return (1 - alpha) * hard + alpha * soft

    return combined


distillation_loss = get("kd", CLASSIFICATION)


def usual_loss(settings: TrainSettings, task: Task) -> UsualLoss:
    """The loss of outputs (N, ...) for a batch: the task's, and the distance to the teachers."""
    distilled = get(settings.loss, task)

    def loss(outputs: Tensor, batch: Batch) -> Tensor:
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


def parts(batch: Batch, count: int) -> Iterator[tuple[Batch, float]]:
    """A batch in `count` parts, itself where that is 1, each with its share of the samples."""
    if count == 1:
        yield batch, 1.0
        return
    samples = len(batch.targets)
    bounds = [samples * part // count for part in range(count + 1)]
    for first, end in itertools.pairwise(bounds):
        some = slice(first, end)
        taught = None if batch.taught is None else batch.taught[:, some]
        part = batch._replace(
            inputs=_those(batch.inputs, some), targets=_those(batch.targets, some), taught=taught
        )
        yield part, (end - first) / samples


def _those(nested: Tensor, samples: slice) -> Tensor:
    """Some samples of every tensor there is."""
    chosen: Tensor = tree_map(lambda tensor: tensor[samples], nested)
    return chosen
