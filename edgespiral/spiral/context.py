"""What the steps of one run share."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

from edgespiral.distill.own_training import USUAL
from edgespiral.export.parity import FileScores
from edgespiral.measure.latency_cache import LatencyCache
from edgespiral.spiral.planning.importance import Scorer
from edgespiral.spiral.student.distillation import OUTPUTS, Distiller
from edgespiral.spiral.training import training_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.events import Baseline
    from edgespiral.core.records.journal import Journal
    from edgespiral.distill.own_training import Training
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.session import Session
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.plan import Plan
    from edgespiral.spiral.planning.importance import Importance
    from edgespiral.spiral.student.kernels import Kernels
    from edgespiral.spiral.student.precisions import Precisions
    from edgespiral.tasks.base import Task


@dataclass
class Stopwatch:
    """Seconds per phase of a turn."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def timing(self, phase: str) -> Iterator[None]:
        """Add the time spent in the context to `phase`."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += perf_counter() - start


@dataclass(frozen=True)
class Parent:
    """The model a turn cuts, and the turn that made it (0: the teacher).

    `model` is what that turn made; `source` is that too, or with `l1-reg` what more training
    made of it. `score` says what cutting `source` would lose.
    """

    turn: int
    source: PrunableModel
    score: Callable[[], Importance]
    model: GraphModule

    @cached_property
    def importance(self) -> Importance:
        """What cutting it would lose, measured when first asked for: a cut that is made is enough.

        Raises:
            DataError, ModelError: as `Scorer.importance`.
        """
        return self.score()


@dataclass(frozen=True)
class RunContext:
    """What the steps of one run share.

    `other_teacher` teaches in the place of the `teacher`, which is what is cut.
    """

    plan: Plan
    out: Path
    splits: DataSplits
    fleet: Fleet
    journal: Journal
    listener: Listener
    teacher: PrunableModel
    teacher_onnx: Path
    precisions: Precisions
    sparse_kernels: Kernels
    cache_folder: Path | None = None
    task: Task = field(kw_only=True)
    training: Training = USUAL
    other_teacher: GraphModule | None = None

    @property
    def session(self) -> Session:
        """That of the only target, or of the first of several."""
        return self.fleet.sessions[0]

    def caches(self, baseline: Baseline) -> list[LatencyCache]:
        """Of each device's latencies, as the teacher was measured there; none without a folder."""
        if self.cache_folder is None:
            return []
        return [
            LatencyCache.of(self.cache_folder, profile, device.measurement.fingerprint)
            for profile, device in zip(self.fleet.profiles, baseline.devices, strict=True)
        ]

    @cached_property
    def scorer(self) -> Scorer:
        """What says what cutting a model would lose."""
        plan, train = self.plan, self.splits.train
        return Scorer(plan.criterion, train, plan.epochs, plan.seed, self.task, plan.task)

    @cached_property
    def file_scores(self) -> FileScores:
        """Scores of ONNX files on the validation split."""
        return FileScores(self.splits.validation, self.task)

    @cached_property
    def distiller(self) -> Distiller:
        """What trains students."""
        plan = self.plan
        return Distiller(
            self.splits,
            self.task,
            self.listener,
            self.teacher.model if self.other_teacher is None else self.other_teacher,
            plan.teacher,
            training_settings(plan, self.teacher.model, len(self.splits.train), self.task),
            self.out / OUTPUTS,
            self.training,
            plan.shared,
        )

    def folder(self, turn: int) -> Path:
        """The folder of a turn; turn 0 is the teacher's."""
        return turn_folder(self.out, turn)


def turn_folder(out: Path, turn: int) -> Path:
    """The folder of a turn in a run folder; turn 0 is the teacher's."""
    return out / ("teacher" if turn == 0 else f"turn-{turn:02d}")
