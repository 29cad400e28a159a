"""The boundary to tasks that are not ours: what they raise, and figures that are none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.nested import plain
from edgespiral.core.user_code import user_code
from edgespiral.tasks.base import BATCH_SIZE, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Pairs, Predict, Scored


class OwnTask(Task):
    """A user's task, of which whatever it raises is one error that names the method.

    A score that is not finite is refused: nothing can be held against it.

    Args:
        task: the user's.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.metric, self.counted = task.metric, task.counted
        self.main_output, self.beside = task.main_output, task.beside

    def sample_losses(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """See `Task.sample_losses`."""
        with self._calling("sample_losses"):
            return _a_sample(self._task.sample_losses(outputs, targets))

    def divergence(self, outputs: Tensors, reference: Tensors) -> Tensor:
        """See `Task.divergence`."""
        with self._calling("divergence"):
            return _a_sample(self._task.divergence(outputs, reference))

    def score_of(self, pairs: Pairs) -> float:
        """See `Task.score_of`."""
        with self._calling("score_of"):
            return _finite(self._task.score_of(pairs))

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """See `Task.scores_beside`."""
        with self._calling("scores_beside"):
            return tuple(map(_finite, self._task.scores_beside(pairs)))

    def loss(self, outputs: Tensors, targets: Tensors, *, label_smoothing: float = 0.0) -> Tensor:
        """See `Task.loss`."""
        with self._calling("loss"):
            return self._task.loss(outputs, targets, label_smoothing=label_smoothing)

    def distance(self, student: Tensors, teachers: Tensors, temperature: float) -> Tensor:
        """See `Task.distance`."""
        with self._calling("distance"):
            return self._task.distance(student, teachers, temperature)

    def agreement(self, outputs: Tensors, reference: Tensors) -> Tensor:
        """See `Task.agreement`."""
        with self._calling("agreement"):
            return _a_sample(self._task.agreement(outputs, reference))

    def rightness(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """See `Task.rightness`."""
        with self._calling("rightness"):
            return _a_sample(self._task.rightness(outputs, targets))

    def chance(self, targets: Tensors) -> float | None:
        """See `Task.chance`."""
        with self._calling("chance"):
            share = self._task.chance(targets)
            return None if share is None else _finite(share)

    def decisions(self, targets: Tensors) -> int:
        """See `Task.decisions`."""
        with self._calling("decisions"):
            return max(1, int(self._task.decisions(targets)))

    def score(
        self, predict: Predict, source: BatchSource, *, batch_size: int = BATCH_SIZE
    ) -> float:
        """See `Task.score`."""
        with self._calling("score"):
            return _finite(self._task.score(predict, source, batch_size=batch_size))

    def scored(
        self, predict: Predict, source: BatchSource, *, batch_size: int = BATCH_SIZE
    ) -> Scored:
        """See `Task.scored`."""
        with self._calling("scored"):
            found, beside = self._task.scored(predict, source, batch_size=batch_size)
            return _finite(found), beside

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:
        """See `Task.allowed_difference`."""
        with self._calling("allowed_difference"):
            return _finite(self._task.allowed_difference(expected, samples, turned_share))

    def targets_of(self, outputs: Tensors) -> Tensors | None:
        """See `Task.targets_of`."""
        with self._calling("targets_of"):
            return plain(self._task.targets_of(outputs))

    def configured(self, options: Mapping[str, str]) -> Task:
        """See `Task.configured`."""
        with self._calling("configured"):
            return OwnTask(self._task.configured(options))

    def prepared(self, model: nn.Module, splits: DataSplits) -> tuple[nn.Module, Task]:
        """See `Task.prepared`."""
        with self._calling("prepared"):
            network, task = self._task.prepared(model, splits)
            return network, self if task is self._task else OwnTask(task)

    def pictures(
        self, inputs: Tensors, outputs: Tensors, targets: Tensors, splits: DataSplits
    ) -> Tensor | None:
        """See `Task.pictures`."""
        with self._calling("pictures"):
            return self._task.pictures(inputs, outputs, targets, splits)

    def fitted(self, splits: DataSplits) -> tuple[Task, DataSplits]:
        """See `Task.fitted`."""
        with self._calling("fitted"):
            task, own = self._task.fitted(splits)
            return OwnTask(task), own

    def check_data(self, splits: DataSplits) -> None:
        """See `Task.check_data`."""
        with self._calling("check_data"):
            self._task.check_data(splits)

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """See `Task.check_outputs`."""
        with self._calling("check_outputs"):
            self._task.check_outputs(outputs, samples, splits)

    def _calling(self, method: str) -> AbstractContextManager[None]:
        return user_code(ModelError, f"{method} failed", where=f"task {type(self._task).__name__}")


def _a_sample(values: object) -> Tensor:
    """`values`, if they are one a sample."""
    if not isinstance(values, torch.Tensor):
        raise TypeError(f"it returns a {type(values).__name__}, not a tensor (N,)")
    if values.ndim != 1:
        raise ValueError(f"it returns {tuple(values.shape)}, not one value a sample, (N,)")
    return values


def _finite(value: object) -> float:
    """`value`, if it is one finite number."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(f"it returns {number}, which is no figure")
    return number
