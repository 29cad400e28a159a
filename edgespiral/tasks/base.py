"""What a task is: the one place that knows what a model's outputs mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgespiral.core.errors import DataError, ModelError, UsageError, first_few
from edgespiral.core.factory import call_factory
from edgespiral.core.records.metric import Figure, Metric

if TYPE_CHECKING:
    from edgespiral.core.batches import BatchSource, DataSplits

Predict = Callable[[Tensor], Tensor]
Pairs = Iterable[tuple[Tensor, Tensor]]
Scored = tuple[float, tuple[Figure, ...]]

BATCH_SIZE = 250
# Standard deviations of what rounding may turn over.
SIGMAS = 3.0


class Task:
    """What outputs mean, how far they are from targets and from each other, and what is scored.

    A plug-in of the group `edgespiral.tasks` is an instance, and so is what a user's own file
    makes. Outputs are one tensor (N, ...), N samples; targets are as the data supplies them,
    (N, ...). Losses and divergences are in nats or whatever else adds up over samples.

    Attributes:
        metric: what `score` returns; `max_drop` is in its unit.
        beside: what `scores_beside` returns, in this order.
        counted: what `rightness` is a share of, in words.
        main_output: of a model that returns a mapping, the entry that is the outputs.

    Example:
        >>> from torch.nn import functional as F
        >>> class Depth(Task):
        ...     metric = Metric(name="RMSE", unit="m", higher_is_better=False)
        ...     def sample_losses(self, outputs, targets):
        ...         return F.mse_loss(outputs, targets, reduction="none").flatten(1).mean(1)
        ...     def divergence(self, outputs, reference):
        ...         return F.mse_loss(outputs, reference, reduction="none").flatten(1).mean(1)
        ...     def score_of(self, pairs):
        ...         losses = torch.cat([self.sample_losses(*pair) for pair in pairs])
        ...         return float(losses.mean().sqrt())
        >>> ones, zeros = torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
        >>> Depth().score_of([(ones, zeros)]), float(Depth().loss(ones, zeros))
        (1.0, 1.0)
    """

    metric: Metric
    beside: tuple[Metric, ...] = ()
    counted = "samples"
    main_output: str | None = None

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample, (N,), differentiable in `outputs`."""
        raise NotImplementedError

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """How far each sample's outputs are from a reference model's, (N,): 0 where they agree.

        What cuts and rounding do to a model is priced in it.
        """
        raise NotImplementedError

    def score_of(self, pairs: Pairs) -> float:
        """The metric over batches of outputs and targets; `pairs` is gone through once."""
        raise NotImplementedError

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:  # noqa: ARG002
        """What else is reported of the test split, one figure for each metric of `beside`."""
        return ()

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:  # noqa: ARG002
        """The scalar that training minimises.

        Args:
            label_smoothing: from 0 to 1, for tasks whose targets are classes.
        """
        return self.sample_losses(outputs, targets).mean()

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """How far a student is from its teachers: a scalar to minimise.

        Args:
            student: outputs (N, ...).
            teachers: outputs (T, N, ...) of T teachers.
            temperature: above 0, what outputs are divided by where they become probabilities.
        """
        del temperature
        return torch.stack([self.divergence(student, one).mean() for one in teachers]).mean()

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:  # noqa: ARG002
        """Of each sample the share of decisions, 0 to 1, that are the reference's, (N,)."""
        return torch.ones(len(outputs))

    def rightness(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How right the outputs are for each sample, (N,) from 0 to 1."""
        return torch.exp(-self.sample_losses(outputs, targets))

    def chance(self, targets: Tensor) -> float | None:  # noqa: ARG002
        """The mean `rightness` that the best constant answer has on (N, ...); None: not known."""
        return None

    def decisions(self, targets: Tensor) -> int:
        """Of how many decisions the mean `rightness` is, which says how far chance moves it."""
        return len(targets)

    def score(
        self, predict: Predict, source: BatchSource, *, batch_size: int = BATCH_SIZE
    ) -> float:
        """The metric over one whole pass in stored order.

        Args:
            predict: outputs of inputs (N, ...), on whatever device: of a PyTorch model, or of an
                exported file, so that both are scored by the same code.
            source: what to score on.
            batch_size: samples that `predict` is given at once.
        """
        with torch.inference_mode():
            return self.score_of(
                (predict(inputs), targets)
                for inputs, targets in source.epoch(batch_size=batch_size)
            )

    def scored(
        self, predict: Predict, source: BatchSource, *, batch_size: int = BATCH_SIZE
    ) -> Scored:
        """What `score` returns, and the figures beside it, of one pass."""
        if not self.beside:
            return self.score(predict, source, batch_size=batch_size), ()
        with torch.inference_mode():
            pairs = [
                (predict(inputs), targets)
                for inputs, targets in source.epoch(batch_size=batch_size)
            ]
            values = self.scores_beside(pairs)
            figures = (
                Figure(metric=metric, value=value)
                for metric, value in zip(self.beside, values, strict=True)
            )
            return self.score_of(pairs), tuple(figures)

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:
        """By how much a file's score may differ from PyTorch's, in the metric's unit.

        Args:
            expected: PyTorch's score.
            samples: how many were scored.
            turned_share: of decisions, which the order of sums or rounding may turn over.
        """
        if not self.metric.is_share:
            return turned_share * abs(expected)
        return share_difference(samples, turned_share)

    def check_data(self, splits: DataSplits) -> None:
        """Refuse data of which no sample could be right, before time is spent.

        Raises:
            DataError: in one line.
        """

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:  # noqa: ARG002
        """Refuse what a model returns for a batch of so many samples, unless it is this task's.

        Raises:
            ModelError: what is returned and what is to be; here, one tensor (samples, ...).
        """
        got = described(outputs)
        if isinstance(outputs, Tensor):
            got = f"a tensor {tuple(outputs.shape)}"
        if not isinstance(outputs, Tensor) or outputs.shape[:1] != (samples,):
            raise ModelError(
                f"the model returns {got} for {samples} samples",
                hint="return one tensor whose first dimension is the samples",
            )


def share_difference(samples: int, turned_share: float) -> float:
    """By how many points a share of so many samples moves where decisions turn over by chance."""
    return 100 * (1 + SIGMAS * math.sqrt(turned_share * samples)) / samples


def from_factory(spec: str) -> Task:
    """The task of the user's file.

    Raises:
        UsageError: no such file or factory, it fails, or what it makes is no task.
    """
    task = call_factory(spec, ready=lambda named: isinstance(named, Task))
    return require_task(task, spec)


def require_task(task: object, where: str) -> Task:
    """`task`, if it is one and says what it is scored by.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(task, Task):
        raise UsageError(
            f"a {type(task).__name__} is no task",
            where=where,
            hint="give an instance of a subclass of edgespiral.Task, or what makes one",
        )
    if not isinstance(getattr(task, "metric", None), Metric):
        raise UsageError(
            f"{type(task).__name__} has no metric",
            where=where,
            hint='add metric = edgespiral.Metric(name="mAP", unit="%")',
        )
    return task


def described(outputs: object) -> str:
    """What came instead of a tensor, in words."""
    kind = type(outputs).__name__
    if isinstance(outputs, Mapping):
        return f"a {kind} of {first_few([str(name) for name in outputs])}"
    if isinstance(outputs, (tuple, list)):
        return f"a {kind} of {len(outputs)}"
    return f"a {kind}"


def require_target_shape(splits: DataSplits, dimensions: int, what: str, hint: str) -> None:
    """Refuse targets of another number of dimensions a sample than `dimensions`.

    Raises:
        DataError: `what` is wanted.
    """
    if splits.target_shape is not None and len(splits.target_shape) != dimensions:
        shown = splits.target_shape or "one class a sample"
        raise DataError(f"targets are {shown}, not {what}", where=splits.name, hint=hint)
