"""What single steps of a run take here and on its devices, each done once and timed."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING

from edgespiral.core.nested import count
from edgespiral.core.system.files import make_folder
from edgespiral.distill.evaluate import predicting
from edgespiral.distill.own_training import TrainingStep
from edgespiral.distill.trainer import Objective, train
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import opened
from edgespiral.export.precision import validation_samples
from edgespiral.models.saved import save_model
from edgespiral.tasks.base import BATCH_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.records.measurement import Measurement
    from edgespiral.distill.own_training import Training
    from edgespiral.distill.settings import TrainSettings
    from edgespiral.measure.fleet import Fleet
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.tasks.base import Task

# A difference of two counts leaves out what a step takes once, such as the start of a process.
FEW_ROUNDS, MORE_ROUNDS = 6, 18
FEW_STEPS, MORE_STEPS, REPEATS = 2, 6, 2
# Of a model whose steps take this long, one tells enough.
SLOW_S = 4.0
FILE_SAMPLES = 16
BATCHES = 2


@dataclass(frozen=True)
class Pieces:
    """Seconds of single steps.

    Attributes:
        teacher: measured on each device.
        export_s: of the teacher to ONNX.
        candidate_s: of a cut, made and exported.
        start_s: of a measurement, before its first round.
        round_s: of one round of one model, on the slowest of the devices.
        forward_s: of the teacher in PyTorch, a sample.
        file_s: of its ONNX file here, a sample.
        step_s: of training a cut with its teacher's outputs known; None where the training is the
            user's own and does as it likes.
    """

    teacher: tuple[Measurement, ...]
    export_s: float
    candidate_s: float
    start_s: float
    round_s: float
    forward_s: float
    file_s: float
    step_s: float | None


@dataclass(frozen=True)
class Trial:
    """What pieces are timed of.

    Attributes:
        half: about half of every group's channels, as a run may end with.
        work: a folder for files, which is not kept.
    """

    teacher: PrunableModel
    half: Mapping[str, int]
    splits: DataSplits
    task: Task
    settings: TrainSettings
    training: Training
    work: Path

    def pieces(self, fleet: Fleet) -> Pieces:
        """Do each step once.

        Raises:
            ExportError, ModelError, TargetError, MeasurementError, TrainingError: a step fails, as
                it would in the run.
        """
        model = self.teacher.model
        onnx, cut = (make_folder(self.work / name) / "model.onnx" for name in ("teacher", "cut"))
        export_s = _seconds(lambda: self._write(model, onnx, fleet))
        students: list[nn.Module] = []

        def make() -> None:
            student = self.teacher.candidate(dict(self.half))
            students.append(student)
            self._write(student, cut, fleet)

        candidate_s = _seconds(make)
        few_s, _ = _measuring(fleet, [onnx, cut], FEW_ROUNDS)
        more_s, teacher = _measuring(fleet, [onnx, cut], MORE_ROUNDS)
        round_s = max(0.0, more_s - few_s) / (MORE_ROUNDS - FEW_ROUNDS)
        return Pieces(
            teacher=teacher,
            export_s=export_s,
            candidate_s=candidate_s,
            start_s=max(0.0, few_s - FEW_ROUNDS * round_s),
            round_s=round_s / 2,
            forward_s=self._forward_s(model),
            file_s=self._file_s(onnx),
            step_s=self._step_s(students[0]),
        )

    def _write(self, model: GraphModule, path: Path, fleet: Fleet) -> None:
        export_onnx(model, path, example=self.teacher.example)
        if fleet.needs_modules:
            save_model(model, path.parent)

    def _forward_s(self, model: nn.Module) -> float:
        batches = [
            x for x, _ in islice(self.splits.validation.epoch(batch_size=BATCH_SIZE), BATCHES)
        ]
        with predicting(model) as predict:
            predict(batches[0])
            seconds = _seconds(lambda: [predict(batch) for batch in batches])
        return seconds / sum(count(batch) for batch in batches)

    def _file_s(self, onnx: Path) -> float:
        file, samples = opened(onnx), validation_samples(self.splits, FILE_SAMPLES)
        file.run(samples[0])
        return _seconds(lambda: [file.run(sample) for sample in samples]) / len(samples)

    def _step_s(self, student: nn.Module) -> float | None:
        if not isinstance(self.training, TrainingStep):
            return None
        first_s = self._training_s(student, 1)
        if first_s > SLOW_S:
            return first_s
        # What else the machine does only ever makes it longer.
        few_s, more_s = (
            min(self._training_s(student, steps) for _ in range(REPEATS))
            for steps in (FEW_STEPS, MORE_STEPS)
        )
        return max(0.0, more_s - few_s) / (MORE_STEPS - FEW_STEPS)

    def _training_s(self, student: nn.Module, steps: int) -> float:
        return _seconds(lambda: self._train(copy.deepcopy(student), steps))

    def _train(self, student: nn.Module, steps: int) -> None:
        assert isinstance(self.training, TrainingStep)
        size, samples = self.settings.batch_size, len(self.splits.train)
        train(
            student,
            self.splits,
            replace(self.settings, epochs=steps / max(1, samples // size)),
            Objective(self.task, own=self.training),
        )


def _measuring(
    fleet: Fleet, models: list[Path], rounds: int
) -> tuple[float, tuple[Measurement, ...]]:
    """Seconds that measuring takes on all devices, and what the first model takes on each."""
    start = perf_counter()
    answers = fleet.each(lambda _, session: session.measure(models, rounds=rounds))
    return perf_counter() - start, tuple(answer[0] for answer in answers)


def _seconds(step: Callable[[], object]) -> float:
    start = perf_counter()
    step()
    return perf_counter() - start
