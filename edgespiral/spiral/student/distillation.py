"""Distillation as a run does it: who teaches, and a bar that shows how far it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

from edgespiral.core.batches import first_inputs
from edgespiral.core.listener import TrainingProgress
from edgespiral.core.nested import mapped
from edgespiral.core.system.files import make_folder
from edgespiral.core.system.temporary import claim_folder
from edgespiral.distill.own_training import USUAL, TrainingStep, train_by_loop
from edgespiral.distill.parallel.answers import values_of
from edgespiral.distill.parallel.jobs import Job, hand_out
from edgespiral.distill.parallel.world import ALONE, present
from edgespiral.distill.teacher_cache import MOST_BYTES, can_be_kept, kept_outputs
from edgespiral.distill.trainer import Objective, train
from edgespiral.models.saved import weights_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.nested import Tensors
    from edgespiral.distill.own_training import Training
    from edgespiral.distill.parallel.world import World
    from edgespiral.distill.settings import Progress, TrainSettings
    from edgespiral.tasks.base import Task

# A warm network's loss falls at once at a low rate; at the full one it first rises.
WARM_RATE_SHARE = 0.2
# Where teachers' outputs lie during a run.
OUTPUTS = "outputs"


class Teaching(NamedTuple):
    """The teachers of a turn, and their outputs (T, N, ...) for the training samples if kept.

    `outputs_file` has those of the only teacher, where they are too many to be handed on.
    """

    teachers: Sequence[nn.Module]
    outputs: Tensors | None = None
    outputs_file: Path | None = None


@dataclass(frozen=True)
class Distiller:
    """Trains a run's students: on what, taught by whom, and who hears of it.

    Attributes:
        splits: students see its training samples.
        task: whose loss it is.
        listener: hears how far a training is.
        original: teaches in every turn: the model that the run began with, or the plan's own.
        who: teaches, of the original and the model that a student was cut from.
        whole: settings of a training of all of the run's epochs, with its seed.
        folder: where teachers' outputs are kept during a run.
        own: what each step does, or the loop that trains in place of the trainer's.
        shared: where runs of one teacher share its outputs, if they do.
    """

    splits: DataSplits
    task: Task
    listener: Listener
    original: nn.Module
    who: Literal["original", "previous", "both"]
    whole: TrainSettings
    folder: Path
    own: Training = USUAL
    shared: Path | None = None

    def settings(self, *, epochs: float, seed: int, rate_share: float = 1.0) -> TrainSettings:
        """Of a training of `epochs`, at `rate_share` of the run's learning rate."""
        rate = rate_share * self.whole.learning_rate
        return replace(self.whole, epochs=epochs, seed=seed, learning_rate=rate)

    def train(
        self,
        student: nn.Module,
        settings: TrainSettings,
        *,
        teaching: Teaching,
        checkpoint: Path,
        masks: Mapping[str, Tensor] | None = None,
        label: str = "distilling",
    ) -> None:
        """Train `student` in place, going on from `checkpoint` where there is one.

        Args:
            masks: by parameter name, True where a weight may be other than zero.
            label: of the bar.

        Raises:
            TrainingError: it diverged; the last good state is kept.
        """
        with self.listener.steps(f"{label}, {settings.epochs:g} epochs") as advance:

            def heard(progress: Progress) -> None:
                detail = f"loss {progress.loss:.3f}  {progress.samples_per_s:.0f}/s"
                advance(progress.step, progress.steps, detail)
                self.listener.training_progressed(TrainingProgress(label, **asdict(progress)))

            if isinstance(self.own, TrainingStep):
                kept, file = teaching.outputs, teaching.outputs_file
                job = Job(student, settings, teaching.teachers, kept, masks or {}, file)
                train(
                    student,
                    self.splits,
                    settings,
                    Objective(
                        self.task,
                        teachers=teaching.teachers,
                        outputs=teaching.outputs,
                        own=self.own,
                    ),
                    masks=masks,
                    checkpoint=checkpoint,
                    progress=heard,
                    world=self._shared(job, checkpoint),
                )
            else:
                train_by_loop(
                    self.own,
                    student,
                    self.splits,
                    settings,
                    task=self.task,
                    teachers=teaching.teachers,
                    masks=masks,
                    checkpoint=checkpoint,
                    progress=heard,
                )

    def _shared(self, job: Job, checkpoint: Path) -> World:
        """The processes that train a student, once all of them have begun."""
        world = present()
        if world.size == 1:
            return world
        if not job.can_travel:
            self.listener.say("  trained in one process: it has int8's rounding inside")
            return ALONE
        hand_out(world, job, checkpoint)
        return world

    def teaching(self, turn: int, model: nn.Module, *, epochs: float) -> Teaching:
        """Who teaches the student of `model`, which `turn` made.

        Outputs are kept where samples are shown as they are stored and every teacher is asked for
        more than one epoch: the original in all of a run's, others in the `epochs` of this
        training. Those of a teacher that no process has whole are not.

        Raises:
            RunFolderError: kept outputs are damaged or cannot be written.
        """
        teachers = self._teachers(turn, model)
        models = list(teachers.values())
        asked_epochs = epochs if any(teachers) else self.whole.epochs
        shows_stored = isinstance(self.own, TrainingStep) and not self.own.alters_views
        if asked_epochs <= 1 or not shows_stored or self.whole.shards_teachers:
            return Teaching(models)
        values = values_of(self.original, first_inputs(self.splits, 1))
        # Several teachers' outputs are put together in memory, and so are those that are handed on
        # to other machines.
        disk = self.folder if len(models) == 1 and present().is_on_one_machine else None
        if not can_be_kept(self.splits.train, values, disk):
            return Teaching(models)
        outputs = [self._outputs(*pair) for pair in teachers.items()]
        if len(outputs) == 1:
            path = self._outputs_path(*next(iter(teachers.items())))
            file = path if path.stat().st_size > MOST_BYTES else None
            return Teaching(models, mapped(lambda leaf: leaf.unsqueeze(0), outputs[0]), file)
        return Teaching(models, mapped(lambda *leaf: torch.stack(leaf), *outputs))

    def teaching_live(self, turn: int, model: nn.Module) -> Teaching:
        """The same teachers, asked at every step in the precision of the student's training."""
        return Teaching(list(self._teachers(turn, model).values()))

    def _teachers(self, turn: int, model: nn.Module) -> dict[int, nn.Module]:
        models = {turn: model, 0: self.original}
        turns = {"original": [0], "previous": [turn], "both": sorted({0, turn})}[self.who]
        return {number: models[number] for number in turns}

    def _outputs_path(self, turn: int, model: nn.Module) -> Path:
        if self.shared is not None and turn == 0:
            return make_folder(self.shared) / f"outputs-{weights_sha256(model)[:16]}.safetensors"
        return claim_folder(self.folder) / f"turn-{turn:02d}.safetensors"

    def _outputs(self, turn: int, model: nn.Module) -> Tensors:
        path = self._outputs_path(turn, model)
        source = self.splits.train
        if path.exists():
            return kept_outputs(path, model, source)
        with self.listener.steps("asking the teacher about every sample") as advance:
            return kept_outputs(path, model, source, lambda done, of: advance(done, of, ""))
