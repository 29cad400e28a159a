"""How a run ends: the best turn's files, checked once more and published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.listener import say_all
from edgespiral.core.records.events import RunFinished, TurnFinished
from edgespiral.core.records.schema import now_utc
from edgespiral.core.system.temporary import remove_claimed
from edgespiral.data.guard import sha256_of
from edgespiral.export.parity import file_scored
from edgespiral.models.saved import load_model
from edgespiral.report import console, formats
from edgespiral.spiral.baseline import CHANGED, check_source
from edgespiral.spiral.context import turn_folder
from edgespiral.spiral.doubts import doubts_after
from edgespiral.spiral.shipping.on_device import check_on_device
from edgespiral.spiral.shipping.pictures import (
    compared_pictures,
    compared_texts,
    confusions_of,
)
from edgespiral.spiral.shipping.publishing import (
    MODEL,
    fetch_engine,
    judged_files,
    publish,
    require_judged,
    shipped_folder,
)
from edgespiral.spiral.shipping.sample import keep, recorded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.records.events import (
        Baseline,
        Event,
        OnDevice,
    )
    from edgespiral.core.records.exported import DeviceCheck
    from edgespiral.export.rebuilt import FreshProcess
    from edgespiral.spiral.context import RunContext
    from edgespiral.spiral.policy import End
    from edgespiral.tasks.base import Scored, Task


SAME_SAMPLES = (
    "the test split is the validation split: its score is one that the run was steered by; give it "
    "samples of their own"
)


def finish(context: RunContext, fresh: FreshProcess, baseline: Baseline, end: End) -> RunFinished:
    """Check the best turn's files once more, publish them and look at the test split, once.

    Raises:
        RunFolderError: a file is not the one that was judged, or cannot be written.
        ExportError: the published source or file computes something else, here or on a device.
        ModelError, TargetError, MeasurementError: as `Session.outputs` and `Session.build`.
    """
    events, out = context.journal.read(), context.out
    shipped = shipped_folder(out, events, end.best_turn)
    require_judged(shipped, judged_files(events, end.best_turn))
    if end.best_turn:
        check_source(fresh, shipped, context.splits)
    checks = _checked_on_devices(context, shipped / MODEL)
    publish(out, events, end.best_turn)
    keep(out, recorded(out / MODEL, context.splits, context.task, lambda: load_model(out)))
    engine = fetch_engine(out / MODEL, context.fleet.sessions)
    (teacher, teacher_beside), (student, student_beside) = _test_scores(
        out, context.splits.test, context.task, end.best_turn
    )
    validation = baseline.teacher.validation_score
    doubts = doubts_after(validation, teacher, context.splits, context.task)
    doubts += _doubts_about_samples(context.splits, baseline)
    say_all(context.listener, console.doubts(doubts))
    teachers = context.folder(0) / MODEL
    published = context.out / MODEL if end.best_turn else teachers
    compared = (teachers, published, context.splits, context.task)
    confusions, confusion_samples = confusions_of(*compared)
    finished = RunFinished(
        outcome=end.outcome,
        message=end.message,
        best_turn=end.best_turn,
        teacher_test_score=teacher,
        student_test_score=student,
        teacher_beside=teacher_beside,
        student_beside=student_beside,
        devices=_reached(events, baseline, end.best_turn),
        engine=engine,
        finished_at=now_utc(),
        doubts=doubts,
        device_checks=checks,
        pictures=compared_pictures(*compared),
        texts=compared_texts(*compared),
        confusions=confusions,
        confusion_samples=confusion_samples,
    )
    # Before the last record: a run that has it is not entered again.
    remove_claimed(context.distiller.folder)
    context.journal.append(finished)
    return finished


def _test_scores(out: Path, test: BatchSource, task: Task, best_turn: int) -> tuple[Scored, Scored]:
    """Of the teacher's file and of the published one."""
    teacher = file_scored(turn_folder(out, 0) / MODEL, test, task)
    if not best_turn:
        return teacher, teacher
    return teacher, file_scored(out / MODEL, test, task)


def _doubts_about_samples(splits: DataSplits, baseline: Baseline) -> tuple[str, ...]:
    validation, test = (sha256_of(part) for part in (splits.validation, splits.test))
    changed = baseline.validation_sha256 not in (None, validation)
    return (*([CHANGED] if changed else []), *([SAME_SAMPLES] if validation == test else []))


def _checked_on_devices(context: RunContext, path: Path) -> tuple[DeviceCheck, ...]:
    """What the file that is to ship computes on every device, against what it computes here."""
    samples = context.plan.device_samples
    checks = context.fleet.each(
        lambda _, session: check_on_device(session, path, context.splits, samples, context.task)
    )
    for check in checks:
        context.listener.say(formats.device_check(check, context.task.metric))
    return tuple(checks)


def _reached(events: Sequence[Event], baseline: Baseline, turn: int) -> tuple[OnDevice, ...]:
    turns = (event for event in events if isinstance(event, TurnFinished))
    return next((done.devices for done in turns if done.turn == turn), baseline.devices)
