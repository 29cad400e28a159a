"""A training as the other processes are told of it: files that say all of it.

Models travel as they lie on disk, source and safetensors, and never as a pickle (decision 6).
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import safetensors.torch

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import DivergedError, ModelError
from edgespiral.core.nested import mapped
from edgespiral.core.system.files import make_folder, write_text, writing
from edgespiral.core.system.temporary import work_folder
from edgespiral.distill.parallel.answers import ASKED, answer, can_travel
from edgespiral.distill.parallel.outputs import damaged, read_outputs, write_outputs
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.models.saved import load_model, save_model, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.distill.own_training import TrainingStep
    from edgespiral.distill.parallel.world import World
    from edgespiral.tasks.base import Task

STUDENT, TEACHER = "student", "teacher-{}"
SETTINGS, OUTPUTS, MASKS = "settings.json", "outputs.safetensors", "masks.safetensors"
CHECKPOINT = "checkpoint.pt"
# Of the outputs' file, which is another's in no case.
IDENTITY = "job"


@dataclass(frozen=True)
class Job:
    """What `train` is called with, but for what each process has: data, task and step.

    Attributes:
        student: as it is before the training, traced.
        settings: of the training.
        teachers: traced.
        outputs: theirs (T, N, ...) for the training samples, where they are kept.
        masks: by parameter name, True where a weight may be other than zero.
        outputs_file: that has the outputs (N, ...) of the only teacher, where all processes see it
            and it is too large to be handed out.
    """

    student: nn.Module
    settings: TrainSettings
    teachers: Sequence[nn.Module] = ()
    outputs: Tensors | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    outputs_file: Path | None = None

    @property
    def can_travel(self) -> bool:
        """Whether other processes can build the student: not one that trains with its rounding."""
        return can_travel(self.student)

    def write(self, folder: Path) -> None:
        """Write all of it into a folder.

        Raises:
            ModelError: a model cannot be written as source.
            RunFolderError: the folder cannot be written.
        """
        models = {TEACHER.format(number): model for number, model in enumerate(self.teachers)}
        for name, model in {STUDENT: self.student, **models}.items():
            save_model(cast("GraphModule", model), make_folder(folder / name))
        if self.outputs is not None and self.outputs_file is None:
            write_outputs(folder / OUTPUTS, IDENTITY, self.outputs)
        masks = {name: mask.contiguous() for name, mask in self.masks.items()}
        with writing(folder / MASKS):
            (folder / MASKS).write_bytes(safetensors.torch.save(masks))
        names = [name for name, _ in self.student.named_parameters()]
        file = self.outputs_file and str(self.outputs_file.resolve())
        stated = {
            "settings": asdict(self.settings),
            "teachers": len(models),
            "parameters": names,
            "outputs_file": file,
        }
        write_text(folder / SETTINGS, json.dumps(stated))

    @classmethod
    def read(cls, folder: Path, example: Tensors) -> Job:
        """What `write` has written.

        Args:
            folder: where.
            example: samples (N, ...), with which models are traced.

        Raises:
            RunFolderError: this process does not see the file of the outputs.
            ModelError: the student's parameters are in another order than the first process has
                them in, by which states of optimizers go.
        """
        stated = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        student = trace(load_model(folder / STUDENT), example)
        if [name for name, _ in student.named_parameters()] != stated["parameters"]:
            raise ModelError("its parameters come in another order when it is built again")
        settings = _settings(stated["settings"])

        def teacher(place: Path) -> nn.Module:
            model = load_model(place)
            return trace(model, example) if settings.shards_teachers else model

        return cls(
            student,
            settings,
            [teacher(folder / TEACHER.format(n)) for n in range(stated["teachers"])],
            _outputs(folder, stated["outputs_file"]),
            safetensors.torch.load_file(folder / MASKS),
        )


def hand_out(world: World, job: Job, checkpoint: Path) -> None:
    """Send a training to the other processes, which begin it at once.

    Args:
        world: of the first process.
        job: what all train.
        checkpoint: from which the training goes on where there is one.
    """
    with work_folder() as place:
        folder = make_folder(place / "job")
        job.write(folder)
        if checkpoint.is_file():
            (folder / CHECKPOINT).symlink_to(checkpoint.resolve())
        world.order(folder)


def serve(
    world: World,
    splits: DataSplits,
    task: Task,
    own: TrainingStep,
    *,
    others: Callable[[Path], bool] = lambda _order: False,
) -> None:
    """Train and answer what the first process hands out, until the run has ended.

    Args:
        world: of this process.
        splits: of the run.
        task: of the run.
        own: step of its trainings.
        others: does what orders ask for that are known elsewhere; whether it knew one.

    Raises:
        ProcessLostError: the first process is gone.
        EdgeSpiralError: a training fails in this process.
    """
    example = first_inputs(splits)
    while True:
        with work_folder() as folder:
            if not world.next_order(folder / "job"):
                return
            if (folder / "job" / ASKED).is_file():
                answer(world, folder / "job", splits)
                continue
            if others(folder / "job"):
                continue
            job = Job.read(folder / "job", example)
            with suppress(DivergedError):  # as in all others; the first one says what follows
                train(
                    job.student,
                    splits,
                    job.settings,
                    Objective(task, teachers=job.teachers, outputs=job.outputs, own=own),
                    masks=job.masks,
                    checkpoint=folder / "job" / CHECKPOINT,
                    world=world,
                )


def _outputs(folder: Path, file: str | None) -> Tensors | None:
    """The outputs (T, N, ...) that came with a job, or those in a file."""
    if file is None:
        return read_outputs(folder / OUTPUTS, IDENTITY)
    outputs = read_outputs(Path(file), None, is_checked=True)
    if outputs is None:
        raise damaged(Path(file))
    return mapped(lambda leaf: leaf.unsqueeze(0), outputs)


def _settings(stated: dict[str, Any]) -> TrainSettings:
    return TrainSettings(**stated | {"freeze": tuple(stated["freeze"])})
