"""The boundary to tasks that are not ours: what they raise, and figures that are none."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import EdgeSpiralError, ModelError
from edgespiral.core.nested import count, leaves, plain, rows
from edgespiral.core.system.process_state import kept_state
from edgespiral.core.text import described
from edgespiral.core.user_code import user_code
from edgespiral.tasks.base import BATCH_SIZE, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.parts import Part
    from edgespiral.core.stages.graph import Postprocessing
    from edgespiral.tasks.base import Pairs, Predict, Scored


class OwnTask(Task):
    """A user's task, of which whatever it raises is one error that names the method.

    A score that is not finite is refused: nothing can be held against it.

    Args:
        task: the user's.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.metric, self.counted, self.timed = task.metric, task.counted, task.timed
        self.main_output, self.beside = task.main_output, task.beside
        self.part_names = task.part_names
        self.temperature = task.temperature
        self.output_name = task.output_name

    def sample_losses(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """See `Task.sample_losses`."""
        return self._of_each("sample_losses", outputs, targets)

    def divergence(self, outputs: Tensors, reference: Tensors) -> Tensor:
        """See `Task.divergence`."""
        nats = self._of_each("divergence", outputs, reference)
        if not nats.isfinite().all() and all(map(_is_finite, (outputs, reference))):
            raise ModelError(
                "divergence failed: it returns what is not finite, for outputs that are",
                where=f"task {type(self._task).__name__}",
            )
        return nats

    def score_of(self, pairs: Pairs) -> float:
        """See `Task.score_of`."""
        passed = _Passed(pairs)
        with self._calling("score_of", passed.place):
            return self._possible(self._task.score_of(passed))

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """See `Task.scores_beside`."""
        passed = _Passed(pairs)
        with self._calling("scores_beside", passed.place):
            values = tuple(map(_finite, self._task.scores_beside(passed)))
            for metric, value in zip(self.beside, values, strict=False):
                metric.require_possible(value)
            return values

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
        return self._of_each("agreement", outputs, reference)

    def rightness(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """See `Task.rightness`."""
        return self._of_each("rightness", outputs, targets)

    def chance(self, targets: Tensors) -> float | None:
        """See `Task.chance`."""
        with self._calling("chance"):
            share = self._task.chance(targets)
            return None if share is None else _finite(share)

    @property
    def scores_rightness(self) -> bool:
        """See `Task.scores_rightness`."""
        with self._calling("scores_rightness"):
            return self._task.scores_rightness

    def decisions(self, targets: Tensors) -> int:
        """See `Task.decisions`."""
        with self._calling("decisions"):
            return max(1, int(self._task.decisions(targets)))

    @property
    def asks_in_order(self) -> bool:
        """See `Task.asks_in_order`."""
        return self._task.asks_in_order

    def score(
        self, predict: Predict, source: BatchSource, *, batch_size: int = BATCH_SIZE
    ) -> float:
        """See `Task.score`."""
        with self._calling("score"):
            return self._possible(self._task.score(predict, source, batch_size=batch_size))

    def scored(
        self, predict: Predict, source: BatchSource, *, batch_size: int = BATCH_SIZE
    ) -> Scored:
        """See `Task.scored`."""
        with self._calling("scored"):
            score, beside = self._task.scored(predict, source, batch_size=batch_size)
            for figure in beside:
                figure.metric.require_possible(figure.value)
            return self._possible(score), beside

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:
        """See `Task.allowed_difference`."""
        with self._calling("allowed_difference"):
            return _finite(self._task.allowed_difference(expected, samples, turned_share))

    def standard_error(self, score: float, source: BatchSource) -> float | None:
        """See `Task.standard_error`."""
        with self._calling("standard_error"):
            points = self._task.standard_error(score, source)
            return None if points is None else _finite(points)

    def targets_of(self, outputs: Tensors) -> Tensors | None:
        """See `Task.targets_of`."""
        with self._calling("targets_of"):
            return plain(self._task.targets_of(outputs))

    def postprocessing(self) -> Postprocessing | None:
        """See `Task.postprocessing`."""
        with self._calling("postprocessing"):
            return self._task.postprocessing()

    def configured(self, options: Mapping[str, str]) -> Task:
        """See `Task.configured`."""
        with self._calling("configured"):
            return OwnTask(self._task.configured(options))

    def prepared(self, model: nn.Module, splits: DataSplits) -> tuple[nn.Module, Task]:
        """See `Task.prepared`."""
        with self._calling("prepared"):
            network, task = self._task.prepared(model, splits)
            return network, self if task is self._task else OwnTask(task)

    def parts(self, model: nn.Module, inputs: Tensors) -> tuple[Part, ...]:
        """See `Task.parts`."""
        with self._calling("parts"):
            return tuple(self._task.parts(model, inputs))

    def pictures(
        self, inputs: Tensors, outputs: Tensors, targets: Tensors, splits: DataSplits
    ) -> Tensor | None:
        """See `Task.pictures`."""
        with self._calling("pictures"):
            return self._task.pictures(inputs, outputs, targets, splits)

    def texts(
        self, answers: Tensors, targets: Tensors, splits: DataSplits
    ) -> Sequence[tuple[str, str]] | None:
        """See `Task.texts`."""
        with self._calling("texts"):
            return self._task.texts(answers, targets, splits)

    def answers(self, predict: Predict, inputs: Tensors) -> Tensors:
        """See `Task.answers`."""
        with self._calling("answers"):
            return self._task.answers(predict, inputs)

    def fitted(self, splits: DataSplits) -> tuple[Task, DataSplits]:
        """See `Task.fitted`."""
        with self._calling("fitted"):
            task, own = self._task.fitted(splits)
            return (self if task is self._task else OwnTask(task)), own

    def check_data(self, splits: DataSplits) -> None:
        """See `Task.check_data`."""
        with self._calling("check_data"):
            self._task.check_data(splits)

    def target_problem(self, targets: Tensors, splits: DataSplits) -> tuple[int, str] | None:
        """See `Task.target_problem`."""
        with self._calling("target_problem"):
            return self._task.target_problem(targets, splits)

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """See `Task.check_outputs`."""
        with self._calling("check_outputs"):
            self._task.check_outputs(outputs, samples, splits)

    def _of_each(self, method: str, outputs: Tensors, others: Tensors) -> Tensor:
        """What a method says of each sample, (N,)."""
        called = getattr(self._task, method)

        def place() -> str:
            return _first_failing(called, outputs, others)

        with self._calling(method, place):
            return _a_sample(called(outputs, others))

    def _possible(self, value: object) -> float:
        """`value`, if it is a score that there can be."""
        score = _finite(value)
        self.metric.require_possible(score)
        return score

    @contextmanager
    def _calling(self, method: str, place: Callable[[], str] = str) -> Iterator[None]:
        """Name the method that fails, and where among the samples it does, if that is known."""
        where = f"task {type(self._task).__name__}"
        with user_code(ModelError, f"{method} failed", where=where):
            try:
                yield
            except Exception as raised:
                at = "" if isinstance(raised, EdgeSpiralError) else place()
                if not at:
                    raise
                what = f"{method} failed {at}: {described(raised)}"
                raise ModelError(what, where=where) from raised


class _Passed:
    """Batches that a task goes through, and which it was at last given."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs, self._first, self._last = pairs, 0, 0

    def __iter__(self) -> Iterator[tuple[Tensors, Tensors]]:
        for outputs, targets in self._pairs:
            self._first, self._last = self._last, self._last + count(outputs)
            yield outputs, targets

    def place(self) -> str:
        """The samples that were given last, in words; nothing before any."""
        return f"at samples {self._first} to {self._last - 1}" if self._last else ""


def _first_failing(
    method: Callable[[Tensors, Tensors], Tensor], outputs: Tensors, others: Tensors
) -> str:
    """The first sample that a method fails on by itself, in words; nothing where none is."""
    for at in range(count(outputs)):
        alone = slice(at, at + 1)
        try:
            with kept_state():
                _a_sample(method(rows(outputs, alone), rows(others, alone)))
        except Exception:
            return f"on sample {at} of the batch"
    return ""


def _is_finite(outputs: Tensors) -> bool:
    return all(bool(values.isfinite().all()) for values in leaves(outputs).values())


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
