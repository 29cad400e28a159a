"""One turn: cut the parent to the planned widths, distil, export, measure, write it down."""

from __future__ import annotations

import shutil
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from edgespiral.core.artifact import load_model, save_model, trace
from edgespiral.core.files import make_folder, replacing, sha256_file, write_text
from edgespiral.core.records import ModelFacts, TurnFinished, Verdict, now_utc
from edgespiral.core.seeds import derived_seed
from edgespiral.distill.evaluate import accuracy
from edgespiral.distill.trainer import TrainSettings, recalibrate_batchnorm
from edgespiral.export.parity import file_accuracy
from edgespiral.export.precision import export_as
from edgespiral.spiral.cutting import cut_to
from edgespiral.spiral.distilling import distil, teachers_of
from edgespiral.spiral.rounding import FOLDER, Rounding, Shipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.journal import Journal
    from edgespiral.core.plan import Plan
    from edgespiral.core.records import Measurement, Precision, Ratio, TurnPlanned
    from edgespiral.export.calibration import Calibrated
    from edgespiral.export.precision import Exported
    from edgespiral.measure.session import Session
    from edgespiral.spiral.budget import Budget
    from edgespiral.spiral.cutting import Cuttable
    from edgespiral.spiral.importance import Importance
    from edgespiral.spiral.precision import Precisions
    from edgespiral.spiral.progress import Listener

RECALIBRATION_BATCHES = 30
SHIPPED = ("model.onnx", "model.py", "model.safetensors")
SHIPPED_IF_CONVERTED = ("model.float.onnx", "model.json")
UNCUT = "none"
DECIDING_ROUNDS = (60, 120, 240)


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
class Bench:
    """What the steps of one run share."""

    plan: Plan
    out: Path
    splits: DataSplits
    session: Session
    journal: Journal
    listener: Listener
    teacher: Cuttable
    teacher_onnx: Path
    precisions: Precisions

    def folder(self, turn: int) -> Path:
        """The folder of a turn; turn 0 is the teacher's."""
        return self.out / ("teacher" if turn == 0 else f"turn-{turn:02d}")


@dataclass(frozen=True)
class Parent:
    """The model a turn starts from and the turn that made it (0: the teacher)."""

    turn: int
    source: Cuttable
    importance: Importance


def run_turn(
    bench: Bench,
    planned: TurnPlanned,
    parent: Parent,
    budget: Budget,
    watch: Stopwatch,
    *,
    precision: Precision,
    floor: float,
) -> TurnFinished:
    """Do everything that `planned` names; steps whose result is on disk are not done again.

    Args:
        floor: validation accuracy that the run is to hold, in percent.

    Raises:
        ModelError: the cut is impossible or wrong.
        TrainingError: distillation diverged; the last good state is kept.
        ExportError: the ONNX file does not compute what the student does.
        MeasurementError, TargetError: the device did not answer.
    """
    turn = planned.turn
    folder = make_folder(bench.folder(turn))
    with watch.timing("cut"):
        engine = _cut(bench, planned, parent, folder)
    student = trace(load_model(folder / "cut"))
    after_cut = accuracy(student, bench.splits.validation)
    bench.listener.say(f"  cut by {engine}: {after_cut:.2f} % before distillation")
    with watch.timing("distil"):
        _distil(bench, planned, parent.source, student, folder)
    with watch.timing("export"):
        save_model(student, folder)
        shipped, made = _exported(bench, student, folder, precision)
    if made is not None:
        with watch.timing("round"):
            teachers = teachers_of(bench, parent.source)
            last = planned.target_ms <= budget.latency_ms
            shipped = Rounding(bench, teachers, turn, floor, last).win_back(shipped, made)
    onnx = shipped.folder / "model.onnx"
    with watch.timing("measure"):
        measurement, speedup, verdict = decide(bench, onnx, budget)
    facts = model_facts(
        shipped.model,
        onnx,
        latency=measurement,
        precision=precision,
        accuracy=shipped.accuracy,
        float_accuracy=None if _kept_fp32(bench, precision) else shipped.float_accuracy,
    )
    finished = TurnFinished(
        turn=turn,
        parent=parent.turn,
        widths=planned.widths,
        criterion=bench.plan.criterion,
        pruner=engine,
        student=facts,
        speedup=speedup,
        quantised_training=shipped.training,
        restored=shipped.restored,
        accuracy_after_cut=after_cut,
        verdict=verdict,
        epochs=planned.epochs,
        seconds=dict(watch.seconds),
        files={path.name: sha256_file(path) for path in _shipped(shipped.folder)},
        seed=bench.plan.seed,
        finished_at=now_utc(),
    )
    bench.journal.append(finished)
    return finished


def decide(bench: Bench, onnx: Path, budget: Budget) -> tuple[Measurement, Ratio, Verdict]:
    """Measure against the teacher; an undecided verdict takes more samples, not another turn."""
    for rounds in DECIDING_ROUNDS:
        [(measurement, speedup)] = bench.session.compare(bench.teacher_onnx, [onnx], rounds=rounds)
        verdict = budget.verdict(measurement, speedup)
        if verdict is not Verdict.UNDECIDED:
            break
    return measurement, speedup, verdict


def model_facts(
    model: nn.Module,
    onnx: Path,
    *,
    latency: Measurement,
    precision: Precision,
    accuracy: float,
    float_accuracy: float | None = None,
) -> ModelFacts:
    """What is known of a model whose file `onnx` was measured, with the accuracy of that file."""
    return ModelFacts(
        validation_accuracy=accuracy,
        precision=precision,
        float_accuracy=float_accuracy,
        latency=latency,
        parameter_count=sum(p.numel() for p in model.parameters()),
        size_bytes=onnx.stat().st_size,
    )


def export_checked(bench: Bench, model: nn.Module, folder: Path, precision: Precision) -> Exported:
    """Write `model.onnx` into `folder` and check it against PyTorch on validation samples."""
    path = folder / "model.onnx"
    return export_as(model, path, bench.splits, bench.precisions.asked(precision, student=True))


def _exported(
    bench: Bench, student: GraphModule, folder: Path, precision: Precision
) -> tuple[Shipped, Calibrated | None]:
    """The student's files, and what an int8 one was made from."""
    exported = export_checked(bench, student, folder, precision)
    validation = bench.splits.validation
    float_accuracy = found = accuracy(student, validation)
    if not _kept_fp32(bench, precision):
        found = file_accuracy(folder / "model.onnx", validation)
    return Shipped(folder, student, float_accuracy, found), exported.calibrated


def _kept_fp32(bench: Bench, precision: Precision) -> bool:
    return bench.precisions.written(precision) == "fp32"


def nothing_cut(source: Cuttable, widths: Mapping[str, int]) -> bool:
    """Whether `widths` are those that the model has: a lower precision alone may do."""
    return all(widths.get(group.name) == group.channels for group in source.groups)


def _cut(bench: Bench, planned: TurnPlanned, parent: Parent, folder: Path) -> str:
    done = folder / "cut" / "engine.txt"
    if done.exists():
        return done.read_text(encoding="utf-8")
    if nothing_cut(parent.source, planned.widths):
        save_model(parent.source.model, make_folder(folder / "cut"))
        write_text(done, UNCUT)
        return UNCUT
    scores = parent.importance.channels
    cut = cut_to(parent.source, planned.widths, scores, bench.plan.pruner)
    recalibrate_batchnorm(
        cut.model, bench.splits.train, batches=RECALIBRATION_BATCHES, seed=bench.plan.seed
    )
    save_model(cut.model, make_folder(folder / "cut"))
    write_text(done, cut.engine)
    return cut.engine


def _distil(
    bench: Bench, planned: TurnPlanned, parent: Cuttable, student: GraphModule, folder: Path
) -> None:
    plan = bench.plan
    if not planned.epochs:
        return
    settings = TrainSettings.for_distillation(
        epochs=planned.epochs,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate,
        temperature=plan.temperature,
        alpha=plan.alpha,
        seed=derived_seed(plan.seed, planned.turn),
    )
    teachers = teachers_of(bench, parent)
    distil(bench, student, settings, teachers=teachers, checkpoint=folder / "checkpoint.pt")


def publish(bench: Bench, turn: int) -> dict[str, str]:
    """Copy the files of `turn` to the run folder's top, each atomically; return their hashes."""
    hashes = {}
    for source in _shipped(shipped_folder(bench, turn)):
        with replacing(bench.out / source.name) as temporary:
            shutil.copyfile(source, temporary)
        hashes[source.name] = sha256_file(bench.out / source.name)
    return hashes


def shipped_folder(bench: Bench, turn: int) -> Path:
    """Where the files of a finished turn lie that ship; those of turn 0 are the teacher's."""
    folder = bench.folder(turn)
    for event in bench.journal.read():
        if isinstance(event, TurnFinished) and event.turn == turn:
            training = event.quantised_training
            return folder / FOLDER if training is not None and training.kept else folder
    return folder


def _shipped(folder: Path) -> list[Path]:
    converted = [name for name in SHIPPED_IF_CONVERTED if (folder / name).is_file()]
    return [folder / name for name in (*SHIPPED, *converted)]
