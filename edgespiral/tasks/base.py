"""What a task is: the one place that knows what a model's outputs mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgespiral.core.errors import ModelError, UsageError, first_few
from edgespiral.core.factory import call_factory
from edgespiral.core.nested import count, leaves, rows
from edgespiral.core.records.metric import Figure, Metric
from edgespiral.tasks.shared.checks import described

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.parts import Part
    from edgespiral.core.stages.graph import Postprocessing

Predict = Callable[["Tensors"], "Tensors"]
Pairs = Iterable[tuple["Tensors", "Tensors"]]
Scored = tuple[float, tuple[Figure, ...]]

BATCH_SIZE = 250
# Below it a score in a unit of its own counts as this much, where its difference is judged.
LEAST_SCORE = 0.01
# Standard deviations of what rounding may turn over.
SIGMAS = 3.0
# Of a validation split whose every sample weighs a point, what --max-drop allows, or more.
COARSE_SAMPLES = 50


class Task:
    """What outputs mean, how far they are from targets and from each other, and what is scored.

    A plug-in of the group `edgespiral.tasks` is an instance, and so is what a user's own file
    makes. Outputs and targets are one tensor (N, ...), N samples, or a tuple or a dict of such, as
    the model returns and the data supplies them; plain ones, whatever kind of mapping, list or
    dataclass a model returns. Losses and divergences are in nats or whatever else adds up over
    samples.

    Attributes:
        metric: what `score` returns; `max_drop` is in its unit.
        beside: what `scores_beside` returns, in this order.
        counted: what `rightness` is a share of, in words.
        timed: what of a model is trained, cut and timed, in words, where that is not all of it.
        main_output: of a model that returns a mapping, the entry that is the outputs.
        temperature: what outputs are divided by where they teach, unless a plan says another.
        part_names: of the parts that a model runs in, where `parts` takes it apart.
        output_name: what an ONNX file calls the outputs, where they are one tensor.

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
    timed = ""
    temperature: float = 4.0
    main_output: str | None = None
    part_names: tuple[str, ...] = ()
    output_name = "output"

    def sample_losses(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """The loss of each sample, (N,), differentiable in `outputs`."""
        raise NotImplementedError

    def divergence(self, outputs: Tensors, reference: Tensors) -> Tensor:
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

    def loss(self, outputs: Tensors, targets: Tensors, *, label_smoothing: float = 0.0) -> Tensor:  # noqa: ARG002
        """The scalar that training minimises.

        Args:
            label_smoothing: from 0 to 1, for tasks whose targets are classes.
        """
        return self.sample_losses(outputs, targets).mean()

    def distance(self, student: Tensors, teachers: Tensors, temperature: float) -> Tensor:
        """How far a student is from its teachers: a scalar to minimise.

        Args:
            student: outputs (N, ...).
            teachers: outputs (T, N, ...) of T teachers.
            temperature: above 0, what outputs are divided by where they become probabilities.
        """
        del temperature
        each = [rows(teachers, number) for number in range(count(teachers))]
        return torch.stack([self.divergence(student, teacher).mean() for teacher in each]).mean()

    def agreement(self, outputs: Tensors, reference: Tensors) -> Tensor:  # noqa: ARG002
        """Of each sample the share of decisions, 0 to 1, that are the reference's, (N,)."""
        return torch.ones(count(outputs))

    def rightness(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """How right the outputs are for each sample, (N,) from 0 to 1."""
        return torch.exp(-self.sample_losses(outputs, targets))

    def chance(self, targets: Tensors) -> float | None:  # noqa: ARG002
        """The mean `rightness` that the best constant answer has on (N, ...); None: not known."""
        return None

    @property
    def scores_rightness(self) -> bool:
        """Whether the score is the mean of `rightness`, in percent: it says how many are right."""
        return False

    def decisions(self, targets: Tensors) -> int:
        """Of how many decisions the mean `rightness` is, which says how far chance moves it."""
        return count(targets)

    def targets_of(self, outputs: Tensors) -> Tensors | None:  # noqa: ARG002
        """A teacher's outputs as the targets of data that has none; None: such data is refused."""
        return None

    @property
    def asks_in_order(self) -> bool:
        """Whether a score asks a whole model about each batch once, in stored order.

        Then several processes may have been asked before. A task that scores or answers in its own
        way may ask otherwise.
        """
        own = type(self)
        is_usual = own.score is Task.score and own.scored is Task.scored
        return is_usual and own.answers is Task.answers and not self.part_names

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
                (self.answers(predict, inputs), targets)
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
                (self.answers(predict, inputs), targets)
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
            # A teacher that is its own measure has errors of nothing but rounding.
            return turned_share * max(abs(expected), LEAST_SCORE)
        return share_difference(samples, turned_share)

    def standard_error(self, score: float, source: BatchSource) -> float | None:  # noqa: ARG002
        """How far a score is off because of which samples a split happens to have.

        Args:
            score: in the metric's unit.
            source: the split.

        Returns:
            One standard deviation, in the metric's unit; None where it is not known.
        """
        return None

    def configured(self, options: Mapping[str, str]) -> Task:
        """The task with what its name was given behind a question mark, as `NAME?metric=r2`.

        Raises:
            UsageError: it takes no such option.
        """
        if options:
            what = f"takes no option {first_few(list(options))}"
            raise UsageError(what, where=f"--task {type(self).__name__}")
        return self

    def pictures(
        self,
        inputs: Tensors,  # noqa: ARG002
        outputs: Tensors,  # noqa: ARG002
        targets: Tensors,  # noqa: ARG002
        splits: DataSplits,  # noqa: ARG002
    ) -> Tensor | None:
        """What a model says of a few samples, drawn: bytes (N, 3, H, W); None: nothing to draw."""
        return None

    def prepared(self, model: nn.Module, splits: DataSplits) -> tuple[nn.Module, Task]:  # noqa: ARG002
        """What of `model` is trained, cut, exported and timed, and the task for that.

        Mostly both as they are; a detector's network, say, is not all of a detector.
        """
        return model, self

    def texts(
        self,
        answers: Tensors,  # noqa: ARG002
        targets: Tensors,  # noqa: ARG002
        splits: DataSplits,  # noqa: ARG002
    ) -> Sequence[tuple[str, str]] | None:
        """Of each sample what was meant and what `answers` say, in words; None: no words."""
        return None

    def parts(self, model: nn.Module, inputs: Tensors) -> tuple[Part, ...]:  # noqa: ARG002
        """What of `model` runs by itself, in this order, and how often; none: it runs as a whole.

        Args:
            model: as `prepared` gives it, or a cut one.
            inputs: of N samples, which parts get their own inputs from.

        Raises:
            ModelError: it cannot be taken apart so.
        """
        return ()

    def answers(self, predict: Predict, inputs: Tensors) -> Tensors:
        """What `score_of` is given of N inputs; of a model of parts, what comes of running them.

        There `predict` is a `core.records.parts.PredictByParts`.
        """
        return predict(inputs)

    def postprocessing(self) -> Postprocessing | None:
        """What makes an answer of outputs, so that it can be timed; None: that is not known.

        Raises:
            UsageError: it needs what the task does not have yet, such as anchors.
        """
        return None

    def fitted(self, splits: DataSplits) -> tuple[Task, DataSplits]:
        """The task for such data, and the data as it takes it; mostly both as they are."""
        return self, splits

    def check_data(self, splits: DataSplits) -> None:
        """Refuse data of which no sample could be right, before time is spent.

        Raises:
            DataError: in one line.
        """

    def target_problem(self, targets: Tensors, splits: DataSplits) -> tuple[int, str] | None:  # noqa: ARG002
        """Of a batch's targets (N, ...) the first sample that is wrong, and why; mostly None."""
        return None

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:  # noqa: ARG002
        """Refuse what a model returns for a batch of so many samples, unless it is this task's.

        Raises:
            ModelError: what is returned and what is to be; here, tensors (samples, ...).
        """
        for name, leaf in (leaves(outputs) or {"": None}).items():
            if isinstance(leaf, Tensor) and leaf.shape[:1] == (samples,):
                continue
            what = f"a tensor {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else described(leaf)
            raise ModelError(
                f"the model returns {what}{f' as {name}' if name else ''} for {samples} samples",
                hint="return tensors whose first dimension is the samples",
            )


def share_difference(samples: int, turned_share: float) -> float:
    """By how many points a share of so many samples moves where decisions turn over by chance."""
    return 100 * (1 + SIGMAS * math.sqrt(turned_share * samples)) / samples


def coarse_validation(task: Task, samples: int) -> str | None:
    """What so few validation samples do to a score; None where there are enough.

    Args:
        task: that the score is of.
        samples: of the validation split.

    Example:
        >>> from edgespiral.tasks.classification import PLUGIN
        >>> print(coarse_validation(PLUGIN, 5))
        validation has 5 samples: one is 20 points of accuracy, and less cannot be told apart
        >>> coarse_validation(PLUGIN, 1000) is None
        True
    """
    if not task.scores_rightness or task.counted != "samples" or samples > COARSE_SAMPLES:
        return None
    return (
        f"validation has {samples} samples: one is {100 / samples:.3g} points of "
        f"{task.metric.name}, and less cannot be told apart"
    )


def share_error(percent: float, decisions: int) -> float:
    """Standard deviation of a share of so many decisions, in points.

    Example:
        >>> share_error(90.0, 900)
        1.0
    """
    return math.sqrt(percent * (100 - percent) / decisions)


def from_factory(spec: str) -> Task:
    """The task of the user's file.

    Raises:
        UsageError: no such file or factory, it fails, or what it makes is no task.
    """
    task = call_factory(spec, ready=lambda named: isinstance(named, Task))
    return require_task(task, spec)


def require_task(task: object, where: str) -> Task:
    """`task`, if it is one, says what it is scored by and names its outputs.

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
    if not isinstance(task.output_name, str) or not task.output_name:
        raise UsageError(
            f"{type(task).__name__} has an output_name that is no name: {task.output_name!r}",
            where=where,
            hint='leave it out, or set a text such as output_name = "depth"',
        )
    if not isinstance(task.temperature, int | float) or not 0 < task.temperature < math.inf:
        raise UsageError(
            f"{type(task).__name__} has a temperature that is none: {task.temperature!r}",
            where=where,
            hint="leave it out, or set a number above 0",
        )
    return task
