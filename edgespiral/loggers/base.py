"""A run as figures over time, for programs that draw such curves."""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.listener import Listener
from edgespiral.core.records.events import (
    Baseline,
    RateChosen,
    RunFinished,
    RunStarted,
    TurnFinished,
    TurnPlanned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.listener import TrainingProgress
    from edgespiral.core.records.events import Event, ModelFacts, OnDevice
    from edgespiral.core.records.metric import Metric

TRAINING = "training"
BYTES_PER_MIB = 2**20
# What no program takes in a figure's name; MLflow is the strictest.
FOREIGN = re.compile(r"[^\w\-. /]")
# What shows a finished run to a person and to a program.
ENDINGS = ("result.json", "report.html")


@dataclass(frozen=True)
class LoggedRun:
    """A run as a log has it.

    Attributes:
        name: of its folder.
        identity: the same whenever this run is gone on with, and no other run's; hexadecimal.
        folder: of the run.
        settings: what it was asked for, as texts and numbers by name.
    """

    name: str
    identity: str
    folder: Path
    settings: dict[str, str]

    @property
    def endings(self) -> list[Path]:
        """Of the files that a finished run is shown by, those that are there."""
        return [path for path in (self.folder / name for name in ENDINGS) if path.is_file()]


class FigureLog(Listener):
    """Makes figures of what it hears; what they are written to is a subclass's.

    Figures of models are over the turns of a run, the teacher being 0, and those of a training over
    its steps. A run that is gone on with has those of its former records written once more.
    """

    @abstractmethod
    def begin(self, run: LoggedRun) -> None:
        """Be ready for a run's figures; called once, before all others."""

    @abstractmethod
    def write(self, figures: Mapping[str, float], step: int, axis: str) -> None:
        """Add a point to each of some curves.

        Args:
            figures: by name, such as `validation/accuracy`.
            step: where the points are: a turn, or a step of a training.
            axis: what all figures of this kind of step have before their names; empty for turns.
        """

    @abstractmethod
    def end(self, run: LoggedRun, error: BaseException | None) -> None:
        """Write what is left, and let go of the program."""

    def run_opened(self, folder: Path, records: Sequence[Event]) -> None:
        """See `Listener.run_opened`."""
        started = records[0]
        assert isinstance(started, RunStarted)
        self._run = run_of(started, folder)
        self._metric, self._turn = started.metric, 1
        self.begin(self._run)
        for record in records:
            self.record_written(record)

    def training_progressed(self, progress: TrainingProgress) -> None:
        """See `Listener.training_progressed`."""
        axis = f"{TRAINING}/turn-{self._turn:02d}/{named(progress.label)}"
        figures = {"loss": progress.loss, "samples_per_s": progress.samples_per_s}
        if progress.learning_rate is not None:
            figures["learning_rate"] = progress.learning_rate
        self.write(
            {f"{axis}/{name}": value for name, value in figures.items()}, progress.step, axis
        )

    def record_written(self, record: Event) -> None:
        """See `Listener.record_written`."""
        if isinstance(record, TurnPlanned):
            self._turn = record.turn
        for turn, figures in figures_of(record, self._metric):
            self.write(figures, turn, "")

    def run_closed(self, error: BaseException | None) -> None:
        """See `Listener.run_closed`."""
        self.end(self._run, error)


def run_of(started: RunStarted, folder: Path) -> LoggedRun:
    """A run by its first record."""
    settings = {name: str(value) for name, value in started.plan.items() if value is not None}
    settings["metric"] = started.metric.label
    settings |= {f"version of {name}": version for name, version in started.versions.items()}
    identity = hashlib.sha256(started.model_dump_json().encode()).hexdigest()[:16]
    return LoggedRun(folder.resolve().name, identity, folder.resolve(), settings)


def figures_of(record: Event, metric: Metric) -> Iterator[tuple[int, dict[str, float]]]:
    """What a record adds to the curves of a run: at a turn, values by name.

    Args:
        record: of a journal.
        metric: what the run's scores are of.
    """
    score = named(metric.name)
    if isinstance(record, Baseline):
        yield 0, _of_model(record.teacher, record.devices, score)
    elif isinstance(record, RateChosen):
        yield record.turn, {"learning_rate": record.learning_rate}
    elif isinstance(record, TurnFinished):
        own = {f"after_cut/{score}": record.score_after_cut, "epochs": record.epochs}
        seconds = {f"seconds/{named(part)}": value for part, value in record.seconds.items()}
        yield record.turn, _of_model(record.student, record.devices, score) | own | seconds
    elif isinstance(record, RunFinished):
        yield 0, {f"test/{score}": record.teacher_test_score}
        if record.best_turn:
            yield record.best_turn, {f"test/{score}": record.student_test_score}


def _of_model(facts: ModelFacts, devices: Sequence[OnDevice], score: str) -> dict[str, float]:
    figures: dict[str, float] = {
        f"validation/{score}": facts.validation_score,
        "parameters": facts.parameter_count,
        "size_mib": facts.size_bytes / BYTES_PER_MIB,
    }
    for device in devices:
        target, stats = named(device.target), device.measurement.stats
        figures |= {
            f"latency_ms/{target}": stats.p50_ms,
            f"latency_ms_low/{target}": stats.p50_ci95_ms.low,
            f"latency_ms_high/{target}": stats.p50_ci95_ms.high,
            f"speedup/{target}": device.speedup.value,
        }
        if device.budget_ms is not None:
            figures[f"budget_ms/{target}"] = device.budget_ms
    return figures


def named(text: str) -> str:
    """A part of a figure's name as every program takes it.

    Example:
        >>> named("word error rate (%)")
        'word error rate ___'
    """
    return FOREIGN.sub("_", text).replace("/", "_")
