"""One's own way to train a student: a step in the trainer's loop, or a loop of one's own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from edgespiral.core.errors import EdgeSpiralError, TrainingError, UsageError
from edgespiral.core.factory import named_in_file
from edgespiral.core.nested import Tensors, as_float, mapped
from edgespiral.core.seeds import derived_seed
from edgespiral.core.system.files import make_folder
from edgespiral.core.user_code import user_code
from edgespiral.distill import checkpoint as checkpoints
from edgespiral.distill import compute
from edgespiral.distill.batchnorm import flush_subnormals
from edgespiral.distill.losses import Batch, usual_loss
from edgespiral.distill.masks import HeldZeros, untouched
from edgespiral.distill.optimizers import optimizer_for, training
from edgespiral.distill.settings import Progress, steps_of
from edgespiral.models.calling import call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.distill.losses import UsualLoss
    from edgespiral.distill.settings import Resolved, TrainSettings
    from edgespiral.tasks.base import Task


Forward = Callable[[Tensors], Tensors]


class TrainingStep:
    """What a step of the trainer's own loop does; each method may be replaced by a subclass.

    The loop brings the rest: order, precision, clipping, averaging, checkpoints at the very batch,
    Ctrl-C. What is drawn from PyTorch's generator is a function of the seed and the step, so a
    resumed run does as it would have; a subclass with a state of its own also has `state_dict` and
    `load_state_dict`, of tensors and plain values.

    Example:
        >>> class Mixed(TrainingStep):
        ...     def loss(self, student, batch, usual):
        ...         outputs = student(batch.inputs)
        ...         return usual(outputs, batch) + 0.01 * outputs.square().mean()
        >>> batch = Batch(torch.ones(2, 1), torch.zeros(2), None, 0, 1)
        >>> loss = Mixed().loss(lambda inputs: inputs, batch, lambda outputs, _: outputs.sum())
        >>> round(float(loss), 2)
        2.01
    """

    def optimizer(self, student: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
        """What changes the weights of `student`: the one that `settings` name.

        Its groups' rates are scaled by the schedule, so groups of different rates keep their ratio.
        """
        return optimizer_for(student, settings)

    def rate(self, step: int, steps: int, settings: TrainSettings) -> float:
        """The learning rate of a step.

        Args:
            step: counted from 0.
            steps: of the whole training.
            settings: whose `learning_rate` is the highest, before `schedule` lowers it.
        """
        return settings.rate_at(step, steps)

    def view(self, inputs: Tensors, targets: Tensors) -> tuple[Tensors, Tensors]:
        """What is shown of a batch (N, ...), such as a random view or a mixture of samples.

        Teachers see it too, so where this is replaced they are asked at every step.
        """
        return inputs, targets

    def loss(self, student: Forward, batch: Batch, usual: UsualLoss) -> Tensor:
        """The scalar to minimise.

        Args:
            student: outputs (N, ...) of inputs, in the training's precision.
            batch: what is shown, and what teachers say of it.
            usual: the loss of outputs (N, ...) that is minimised otherwise: the task's, and the
                distance to the teachers.
        """
        return usual(student(batch.inputs), batch)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs of this step's own."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""

    @property
    def alters_views(self) -> bool:
        """Whether `view` is replaced, so that outputs for stored samples are of no use."""
        return type(self).view is not TrainingStep.view

    @property
    def name(self) -> str:
        """What a run's plan and checkpoints remember of it; nothing of the step that is not own."""
        kind = type(self)
        return "" if kind is TrainingStep else f"{kind.__module__}:{kind.__qualname__}"


@dataclass(frozen=True)
class TrainingJob:
    """What a loop of one's own is handed, on the training device.

    Attributes:
        student: to train in place, in training mode.
        teachers: in eval mode; their answers are `teach`'s.
        train: the training split, as `DataSplits` has it.
        validation: what steers the run, for looking only.
        task: its `loss` and `distance`.
        settings: of the plan: `batch_size`, `learning_rate`, `temperature`, `alpha`, `seed`, ...
        steps: how many batches the plan's epochs are.
        device: where everything is.
        precision: of the forward passes that `forward` makes.
        folder: for what the loop keeps to go on from; it is empty when it is first called.
        usual: the loss of outputs (N, ...) for a batch that is minimised otherwise; `loss` asks it.
        after_step: to call after each change of the weights, with the loss: it puts back weights
            that are to stay zero, shows progress and lets Ctrl-C through.

    Example:
        >>> def train(job):
        ...     optimizer = torch.optim.Adam(job.student.parameters(), lr=1e-3)
        ...     for inputs, targets in job.batches():
        ...         loss = job.loss(job.forward(inputs), targets, job.teach(inputs))
        ...         optimizer.zero_grad()
        ...         loss.backward()
        ...         optimizer.step()
        ...         job.after_step(loss)
    """

    student: nn.Module
    teachers: tuple[nn.Module, ...]
    train: BatchSource
    validation: BatchSource
    task: Task
    settings: TrainSettings
    steps: int
    device: torch.device
    precision: Resolved
    folder: Path | None
    usual: UsualLoss
    after_step: Callable[[Tensor], None]

    def batches(self, first: int = 0) -> Iterator[tuple[Tensors, Tensors]]:
        """The inputs (N, ...) and targets (N, ...) of all steps from `first` on, shuffled."""
        size, seed = self.settings.batch_size, self.settings.seed
        per_epoch = len(self.train) // size
        step = first
        while step < self.steps:
            epoch, at = divmod(step, per_epoch)
            shown = self.train.epoch(
                batch_size=size, seed=derived_seed(seed, epoch), first_batch=at
            )
            for batch in itertools.islice(shown, self.steps - step):
                yield compute.to_device(*batch, self.device)
                step += 1

    def forward(self, inputs: Tensors) -> Tensors:
        """The student's outputs (N, ...), in the training's precision."""
        with compute.autocast(self.precision, self.device):
            return call(self.student, inputs)

    def teach(self, inputs: Tensors) -> Tensors | None:
        """The teachers' outputs (T, N, ...) for inputs (N, ...); None without teachers."""
        if not self.teachers:
            return None
        with torch.no_grad(), compute.autocast(self.precision, self.device):
            outputs = [as_float(call(teacher, inputs)) for teacher in self.teachers]
        return mapped(lambda *leaf: torch.stack(leaf), *outputs)

    def loss(self, outputs: Tensors, targets: Tensors, taught: Tensors | None = None) -> Tensor:
        """The loss that is minimised otherwise, a scalar; `taught` is what `teach` returned."""
        return self.usual(outputs, Batch(None, targets, taught, 0, self.steps))


Loop = Callable[[TrainingJob], nn.Module | None]
Training = TrainingStep | Loop
USUAL = TrainingStep()
REPORT_STEPS = 10


def is_usual(training: Training) -> bool:
    """Whether nothing of it is the user's own."""
    return type(training) is TrainingStep


def training_of(train: Training | str | None) -> Training:
    """A step or a loop: as it is, or of the class or function that `path/to/file.py:name` names.

    Raises:
        UsageError: it is neither.
    """
    if train is None:
        return USUAL
    where = train if isinstance(train, str) else "train"
    named = named_in_file(train) if isinstance(train, str) else train
    if isinstance(named, type) and issubclass(named, TrainingStep):
        return named()
    if isinstance(named, TrainingStep):
        return named
    if isinstance(named, type) or not callable(named):
        raise UsageError(
            f"a {type(named).__name__} is no way to train",
            where=where,
            hint="give a subclass of edgespiral.TrainingStep, or a function of a TrainingJob",
        )
    return cast("Loop", named)


def name_of(training: Training) -> str:
    """What a run remembers of it."""
    if isinstance(training, TrainingStep):
        return training.name
    kind = training if hasattr(training, "__qualname__") else type(training)
    return f"{kind.__module__}:{kind.__qualname__}"


def train_by_loop(
    loop: Loop,
    student: nn.Module,
    splits: DataSplits,
    settings: TrainSettings,
    *,
    task: Task,
    teachers: Sequence[nn.Module] = (),
    masks: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Let a loop of the user's train `student` in place; see `trainer.train` for the arguments.

    Its result is kept in `checkpoint`, so that a loop that is through is not run again. Of one
    that was killed only what it keeps itself is left.

    Raises:
        TrainingError: the loop fails, returns what is no such model, leaves the weights as they
            were or not finite; the student then has those it had.
        DataError: fewer samples than a batch.
        RunFolderError: the checkpoint cannot be written, or is another run's.
    """
    name, device = name_of(loop), compute.best_device()
    before = {key: value.detach().clone() for key, value in student.state_dict().items()}
    zeros = HeldZeros(student, masks or {})
    others = {"teachers": len(teachers), "masks": zeros.digest}
    identity = checkpoints.identity_of(student, splits.train, settings, others, name)
    done = checkpoints.read(checkpoint, identity) if checkpoint else None
    if done is not None:
        student.load_state_dict(done.student)
        return
    watch = _Watch(steps_of(settings, len(splits.train)), settings.batch_size, zeros, progress)
    with _untouched_on_failure(student, before):
        with (
            compute.placed([student, *teachers], device),
            compute.numerics(device),
            training(student, settings.freeze),
            untouched(student, teachers, name),
        ):
            job = TrainingJob(
                student=student,
                teachers=tuple(teacher.eval() for teacher in teachers),
                train=splits.train,
                validation=splits.validation,
                task=task,
                settings=settings,
                steps=watch.steps,
                device=device,
                precision=compute.training_precision(settings.precision, device),
                folder=_folder(checkpoint),
                usual=usual_loss(settings, task),
                after_step=watch.after_step,
            )
            torch.manual_seed(derived_seed(settings.seed))
            with user_code(TrainingError, "the training loop fails", where=name):
                trained = loop(job)
        _take(student, trained, before, name)
    zeros.put_back()
    flush_subnormals(student)
    if checkpoint is not None:
        state = {key: value.detach().clone() for key, value in student.state_dict().items()}
        checkpoints.Checkpoint(identity, watch.steps, watch.seconds, watch.loss, state, {}).write(
            checkpoint
        )


@contextmanager
def _untouched_on_failure(student: nn.Module, before: Mapping[str, Tensor]) -> Iterator[None]:
    """Put the weights `before` back into `student` where what is inside fails."""
    try:
        yield
    except EdgeSpiralError:
        # Not where the loop has changed the layers: nothing is trained further in any case.
        with suppress(RuntimeError):
            student.load_state_dict(before)
        raise


class _Watch:
    """What happens between a loop's steps."""

    def __init__(
        self,
        steps: int,
        batch_size: int,
        zeros: HeldZeros,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.steps, self.loss = steps, 0.0
        self._batch_size, self._zeros, self._progress = batch_size, zeros, progress
        self._done, self._began_at = 0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began_at

    def after_step(self, loss: Tensor) -> None:
        """Put zeros back, and tell how far the loop is."""
        self._zeros.put_back()
        self._done += 1
        if self._progress is not None and self._done % REPORT_STEPS == 0:
            self.loss = float(loss.detach())
            rate = self._done * self._batch_size / max(self.seconds, 1e-9)
            done = min(self._done, self.steps)
            self._progress(Progress(done, self.steps, self.loss, rate))


def _folder(checkpoint: Path | None) -> Path | None:
    return None if checkpoint is None else make_folder(checkpoint.with_suffix(".own"))


def _is_finite(tensor: Tensor) -> bool:
    # A mask is infinite from the start, and a sparse matrix cannot be asked.
    return tensor.layout != torch.strided or bool(tensor.isfinite().all())


def _take(student: nn.Module, trained: object, before: Mapping[str, Tensor], name: str) -> None:
    """Give `student` what a loop has trained, which may be the student itself."""
    if trained is not None and not isinstance(trained, nn.Module):
        raise TrainingError(
            f"the training loop returns a {type(trained).__name__}",
            where=name,
            hint="return nothing, or the module that was trained",
        )
    if trained is not None and trained is not student:
        with user_code(
            TrainingError, "what the training loop returns is not the student", where=name
        ):
            student.load_state_dict(trained.state_dict())
    after = student.state_dict()
    forms = [{key: (v.shape, v.dtype) for key, v in state.items()} for state in (before, after)]
    if forms[0] != forms[1]:
        raise TrainingError(
            "the training loop changed the student's layers, or the kind of their numbers",
            where=name,
            hint="train its weights, and leave layers, names and types as they are",
        )
    if any(_is_finite(before[key]) and not _is_finite(value) for key, value in after.items()):
        raise TrainingError(
            "the training loop leaves weights that are not finite",
            where=name,
            hint="try a lower rate",
        )
    if all(torch.equal(before[key], value) for key, value in after.items()):
        raise TrainingError(
            "the training loop leaves the student's weights as they were",
            where=name,
            hint="train job.student in place, or return the module that was trained",
        )
