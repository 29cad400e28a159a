"""One training loop, for a teacher alone and for distillation, on CPU or CUDA."""

from __future__ import annotations

import itertools
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch

from edgespiral.core.errors import DivergedError, ModelError, TrainingError
from edgespiral.core.factory import is_factory
from edgespiral.core.nested import rows
from edgespiral.core.seeds import derived_seed
from edgespiral.core.user_code import user_code
from edgespiral.distill import checkpoint as checkpoints
from edgespiral.distill import compute, interrupt
from edgespiral.distill.batchnorm import batchnorm_scales, flush_subnormals
from edgespiral.distill.losses import Batch, loss_of, parts, usual_loss
from edgespiral.distill.masks import HeldZeros, untouched
from edgespiral.distill.optimizers import WeightUpdate, require_optimizer, training
from edgespiral.distill.own_training import REPORT_STEPS, USUAL, TrainingStep, is_usual
from edgespiral.distill.parallel.batchnorm import synchronised
from edgespiral.distill.parallel.failures import explained
from edgespiral.distill.parallel.replica import Replica, own_rows, own_share, require_shares
from edgespiral.distill.parallel.world import ALONE
from edgespiral.distill.settings import Progress, TrainReport, rate_of, steps_of
from edgespiral.distill.teacher_cache import Teachers, running
from edgespiral.models.calling import call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.distill.parallel.world import World
    from edgespiral.distill.settings import TrainSettings
    from edgespiral.tasks.base import Task

LOSS_MEMORY = 0.98


@dataclass(frozen=True)
class Objective:
    """What a training minimises.

    Attributes:
        task: whose loss it is, and whose distance to the teachers.
        teachers: seen in eval mode on the same view as the student, once a batch.
        outputs: their outputs (T, N, ...) for the training samples as stored, looked up instead;
            only for a training part that knows its `order`.
        own: what each step makes of these.
    """

    task: Task
    teachers: Sequence[nn.Module] = ()
    outputs: Tensors | None = None
    own: TrainingStep = USUAL


def train(
    student: nn.Module,
    splits: DataSplits,
    settings: TrainSettings,
    objective: Objective,
    *,
    masks: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    world: World = ALONE,
) -> TrainReport:
    """Train `student` in place on `splits.train`, from teachers where there are any.

    Args:
        student: takes the inputs of `splits` and gives outputs (N, ...), one tensor or several;
            left in eval mode, on its device.
        splits: only the training part is used.
        settings: with several teachers their softened outputs are averaged.
        objective: what is minimised.
        masks: by parameter name, False where a weight is zero and stays so.
        checkpoint: a file written every 20 s and after each pass; if it is there already, the
            run goes on from it, batch for batch as if it had never stopped.
        progress: called every 10 steps.
        world: the processes that each take their share of every batch; all of them call this, with
            the same of everything. The first one alone writes.

    Raises:
        DivergedError: the loss is not finite; the student then has its last good weights.
        TrainingError: memory is short, or another process is gone.
        DataError: fewer samples than a batch.
        UsageError, ModelError: what is the user's own fails, everything is frozen, or a batch
            cannot be shared out evenly.
        RunFolderError: the checkpoint cannot be written, or is another run's.
        KeyboardInterrupt: Ctrl-C in any of the processes; the checkpoint has been written.
    """
    device, teachers, own = compute.best_device(), objective.teachers, objective.own
    whole, shown = (teachers, teachers)
    if settings.shards_teachers:
        whole, shown = (), _shared_out(teachers, world, device)
    with (
        compute.placed([student, *whole], device),
        compute.numerics(device),
        training(student, settings.freeze),
        nullcontext() if is_usual(own) else untouched(student, teachers, own.name),
        synchronised(student, world, device),
        explained(world, device),
    ):
        shared = replace(objective, teachers=shown)
        run = _Run(
            student,
            splits.train,
            settings,
            shared,
            masks=masks or {},
            checkpoint=checkpoint,
            world=world,
        )
        _go(run, progress, world)
        run.finish()
    flush_subnormals(student)
    return run.report()


def _shared_out(
    teachers: Sequence[nn.Module], world: World, device: torch.device
) -> Sequence[nn.Module]:
    from edgespiral.distill.parallel.sharding import shared_out

    return shared_out(teachers, world, device)


def _go(run: _Run, progress: Callable[[Progress], None] | None, world: World) -> None:
    with interrupt.held_back() as pending:
        try:
            for _ in run.steps_left():
                if run.step % REPORT_STEPS == 0 or run.step == run.steps:
                    run.require_finite()
                    if progress is not None:
                        progress(run.progress())
                is_stopped, is_due = world.any(pending.is_pressed, run.is_unsaved_for_long)
                if is_stopped:
                    pending.stop()
                if is_due:
                    run.save()
        except KeyboardInterrupt:
            if not run.is_in_step:  # a second Ctrl-C does not wait for its end
                run.save()
            raise


class _Run:
    """The state of one training run; `step` counts the steps done."""

    def __init__(
        self,
        student: nn.Module,
        source: BatchSource,
        settings: TrainSettings,
        objective: Objective,
        *,
        masks: Mapping[str, Tensor],
        checkpoint: Path | None,
        world: World,
    ) -> None:
        require_shares(settings.batch_size, settings.accumulate, world.size)
        self._world = world
        self._rows = own_rows(settings.batch_size, settings.accumulate, world)
        self.device = compute.best_device()
        self._settings, self._own = settings, objective.own
        self._source, self._loaded = source, own_share(source, self._rows, self._own)
        self._path = checkpoint
        self._per_epoch = len(source) // settings.batch_size
        self.steps = steps_of(settings, len(source))
        self._precision = compute.training_precision(settings.precision, self.device)
        self._student = student
        compiled = torch.compile(student) if settings.compiles else student
        self._called = cast("nn.Module", compiled)
        teachers = objective.teachers
        self._teachers = Teachers(teachers, objective.outputs, self.device, self._precision)
        self._usual = usual_loss(settings, objective.task)
        self._update = self._updating()
        self._zeros = HeldZeros(student, masks)
        self._scales = batchnorm_scales(student) if settings.scale_l1 else []
        others, name = {"teachers": len(teachers), "masks": self._zeros.digest}, self._own.name
        self._identity = checkpoints.identity_of(student, source, settings, others, name)
        self.step = 0
        self.is_in_step = False
        self._loss = torch.zeros((), device=self.device)
        self._resume()
        self._zeros.put_back()
        self._replica = Replica(student, self._loss_of, world)
        self._first_step = self.step
        self._good = self._snapshot()

    @property
    def is_unsaved_for_long(self) -> bool:
        """Whether an interruption would cost more work than it may."""
        return time.monotonic() - self._saved_at > checkpoints.SAVE_EVERY_S

    def steps_left(self) -> Iterator[None]:
        """Do the steps that are left, yielding after each one."""
        while self.step < self.steps:
            epoch, first = divmod(self.step, self._per_epoch)
            seed, size = derived_seed(self._settings.seed, epoch), self._settings.batch_size
            batches = (self._loaded or self._source).epoch(
                batch_size=size, seed=seed, first_batch=first
            )
            stored = self._teachers.stored_batches(
                self._source, self._rows, batch_size=size, seed=seed, first_batch=first
            )
            for inputs, targets in itertools.islice(batches, self.steps - self.step):
                self._do_step(inputs, targets, next(stored))
                yield
            self.save()

    def save(self) -> None:
        """Keep this state as the last good one, in memory and on disk.

        Raises:
            DivergedError: it is not good.
        """
        self.require_finite()
        if not all(bool(p.isfinite().all()) for p in self._student.parameters()):
            raise self._diverged("a weight")
        self._good = self._snapshot()
        if self._path is not None and self._world.is_first:
            self._good.write(self._path)

    def require_finite(self) -> None:
        """Raise DivergedError, with the last good weights put back, if the loss is not finite."""
        if not math.isfinite(float(self._loss)):
            raise self._diverged("the loss")

    def finish(self) -> None:
        """Give the student the weights that come out, where these are not the last step's."""
        self._update.finish()
        self._replica.close()

    def progress(self) -> Progress:
        """How far the run is."""
        seconds = time.monotonic() - self._started_at
        samples = (self.step - self._first_step) * self._settings.batch_size
        rate = samples / max(seconds, 1e-9)
        return Progress(self.step, self.steps, float(self._loss), rate, self._rate)

    def report(self) -> TrainReport:
        """The finished run."""
        return TrainReport(
            steps=self.steps,
            seconds=self._good.seconds,
            train_loss=self._good.loss,
            precision=self._precision,
            resumed_at_step=self._first_step,
        )

    def _updating(self) -> WeightUpdate:
        name = type(self._own).__name__
        with user_code(TrainingError, "the step's own optimizer fails", where=name):
            optimizer = self._own.optimizer(self._student, self._settings)
        return WeightUpdate(
            self._student,
            require_optimizer(optimizer, name, self._student),
            self._settings,
            precision=self._precision,
        )

    def _do_step(self, inputs: Tensors, targets: Tensors, stored: Tensors | None) -> None:
        self.is_in_step = True
        # Dropout draws from the global generator: a function of the step, so that it resumes.
        compute.seed_generators(derived_seed(self._settings.seed, self.step, 1), self.device)
        inputs, targets = self._shown(inputs, targets)
        soft = self._teachers.outputs(inputs, self.step) if stored is None else stored
        whole = Batch(inputs, targets, soft, self.step, self.steps)
        total = torch.zeros((), device=self.device)
        for number, (batch, share) in enumerate(parts(whole, self._settings.accumulate), 1):
            with self._replica.adding_up(is_last=number == self._settings.accumulate):
                loss = self._replica.loss(batch)
                usual = self._has_usual_loss
                with running(self._student, self.step) if usual else self._own_code("loss"):
                    self._update.backward(loss * share if share != 1 else loss)
            total += share * loss.detach()
        total = self._world.mean(total)
        with self._own_code("rate"):
            self._rate = rate_of(self._own.rate(self.step, self.steps, self._settings))
        with self._own_code("optimizer") if self._has_own_optimizer else nullcontext():
            self._update.apply(self._rate)
        self._zeros.put_back()
        self._update.average()
        memory = min(LOSS_MEMORY, self.step / (self.step + 1))
        self._loss = memory * self._loss + (1 - memory) * total
        self.step += 1
        self.is_in_step = False

    def _shown(self, inputs: Tensors, targets: Tensors) -> tuple[Tensors, Tensors]:
        """This process's share of a batch, on its device, as the step shows it."""
        if self._own.alters_views:  # of whole batches, whose samples a view may mix
            inputs, targets = compute.to_device(inputs, targets, self.device)
            with self._own_code("view"):
                inputs, targets = self._own.view(inputs, targets)
        if not self._world.is_first:  # each process drops other units
            own_seed = derived_seed(self._settings.seed, self.step, 1, self._world.rank)
            compute.seed_generators(own_seed, self.device)
        if self._world.size > 1 and self._loaded is None:
            inputs, targets = rows(inputs, self._rows), rows(targets, self._rows)
        return compute.to_device(inputs, targets, self.device)

    def _loss_of(self, batch: Batch) -> Tensor:
        if self._has_usual_loss:
            with self._own_code("view") if self._own.alters_views else nullcontext():
                loss = self._usual(self._forward(batch.inputs), batch)
        else:
            with self._own_code("loss"):
                loss = loss_of(self._own.loss(self._forward, batch, self._usual))
        if self._scales:
            scales = sum(scale.abs().sum() for scale in self._scales)
            loss = loss + self._settings.scale_l1 * scales
        return loss

    @cached_property
    def _has_own_optimizer(self) -> bool:
        replaces = type(self._own).optimizer is not TrainingStep.optimizer
        return replaces or is_factory(self._settings.optimizer)

    @cached_property
    def _has_usual_loss(self) -> bool:
        return type(self._own).loss is TrainingStep.loss

    def _forward(self, inputs: Tensors) -> Tensors:
        with self._running(), compute.autocast(self._precision, self.device):
            return call(self._called, inputs)

    def _running(self) -> AbstractContextManager[None]:
        if not self._settings.compiles:
            return running(self._student, self.step)
        failed = f"the compiled model fails at step {self.step + 1}"
        hint = "try it without --compile"
        return user_code(ModelError, failed, where=type(self._student).__name__, hint=hint)

    def _own_code(self, method: str) -> AbstractContextManager[None]:
        what = f"its {method} fails at step {self.step + 1}"
        return user_code(TrainingError, what, where=type(self._own).__name__)

    def _resume(self) -> None:
        self._earlier_s = 0.0
        self._started_at = self._saved_at = time.monotonic()
        weights = [name for name, _ in self._student.named_parameters()]
        checkpoint = checkpoints.read(self._path, self._identity, weights) if self._path else None
        if checkpoint is None:
            return
        self._student.load_state_dict(checkpoint.student)
        self._load(checkpoint.optimizer)
        self.step, self._earlier_s = checkpoint.step, checkpoint.seconds
        self._loss = torch.tensor(checkpoint.loss, device=self.device)

    def _load(self, state: dict[str, Any]) -> None:
        own = state.pop("own", {})
        with self._own_code("optimizer"):
            self._update.load_state_dict(state)
        with self._own_code("load_state_dict"):
            self._own.load_state_dict(own)

    def _optimizer_state(self) -> dict[str, Any]:
        with self._own_code("optimizer"):
            return checkpoints.require_plain(self._update.state_dict())

    def _own_state(self) -> dict[str, Any]:
        with self._own_code("state_dict"):
            return checkpoints.require_plain(self._own.state_dict())

    def _snapshot(self) -> checkpoints.Checkpoint:
        self._saved_at = time.monotonic()
        return checkpoints.Checkpoint(
            identity=self._identity,
            step=self.step,
            seconds=self._earlier_s + self._saved_at - self._started_at,
            loss=float(self._loss),
            student={k: v.detach().clone() for k, v in self._student.state_dict().items()},
            optimizer=self._optimizer_state() | {"own": self._own_state()},
        )

    def _diverged(self, what: str) -> DivergedError:
        self._student.load_state_dict(self._good.student)
        epoch = 1 + (self.step - 1) // self._per_epoch
        return DivergedError(
            f"{what} is no longer finite at epoch {epoch}, step {self.step} of {self.steps};"
            f" the last good weights, of step {self._good.step}, are kept",
            hint="try a lower --learning-rate",
        )
