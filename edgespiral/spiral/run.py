"""From a plan to a finished run folder."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edgespiral import tasks
from edgespiral.core.errors import (
    MeasurementError,
    RunFolderError,
    TargetError,
    UsageError,
    first_few,
)
from edgespiral.core.listener import OnConsole
from edgespiral.core.records.events import RunStarted
from edgespiral.core.records.journal import Journal
from edgespiral.core.records.order import require_order
from edgespiral.core.records.schema import now_utc
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.invocation import tell_stopped
from edgespiral.core.system.lock import locked
from edgespiral.core.system.temporary import check_claim, remove_dead_below
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.data.accompanying import check_beside, hashes, write_beside
from edgespiral.distill.compute import on_device
from edgespiral.distill.own_training import USUAL, training_of
from edgespiral.export.rebuilt import FreshProcess
from edgespiral.export.recipe import load_recipe, recipe_sha256
from edgespiral.measure.engine_files import require_timing
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.latency_cache import cache_folder
from edgespiral.measure.profile import load_profiles
from edgespiral.models import is_built_untrained
from edgespiral.models.load import load_model_for
from edgespiral.models.saved import weights_sha256
from edgespiral.report.html import render_html
from edgespiral.report.result import build_result
from edgespiral.spiral.context import RunContext
from edgespiral.spiral.loop import Spiral
from edgespiral.spiral.plan import plan_sha256
from edgespiral.spiral.starting.fitting import (
    check_cuts,
    fitted,
    require_drop,
    shared_multiple,
    tell_cuts,
    traced_teacher,
)
from edgespiral.spiral.student.distillation import OUTPUTS
from edgespiral.spiral.student.kernels import KERNELS, sparse_kernels
from edgespiral.spiral.student.precision_search import CANDIDATES
from edgespiral.spiral.student.precisions import Precisions, measuring
from edgespiral.spiral.student.sparsity import announce
from edgespiral.spiral.training import check_training

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.events import Event
    from edgespiral.core.records.result import Result
    from edgespiral.distill.own_training import Training
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task


def run_compress(plan: Plan, *, out: Path, resume: bool, console: Console, command: str) -> Result:
    """Do what `edgespiral compress` does.

    Args:
        plan: the validated plan.
        out: the run folder, made if missing.
        resume: go on with the run that is in `out`.
        console: where progress is shown.
        command: that asked for it, quoted for a shell.

    Raises:
        EdgeSpiralError: with everything done so far kept in `out`.
    """
    training = training_of(plan.train)
    splits, task = load(plan.data), tasks.load(plan.task)
    listener = OnConsole(console)
    model = load_teacher(plan, splits, listener)
    try:
        return run_spiral(
            plan,
            model,
            splits,
            out=out,
            resume=resume,
            listener=listener,
            task=task,
            command=command,
            training=training,
        )
    except (KeyboardInterrupt, MeasurementError, TargetError):
        tell_stopped(console, command)
        raise


def load_teacher(plan: Plan, splits: DataSplits, listener: Listener) -> nn.Module:
    """The plan's model with its trained weights; `listener` hears which, where there are several.

    Raises:
        UsageError: a zoo model without weights: an untrained teacher has nothing to hand on.
        ModelError: it cannot be built, or its weights do not fit.
    """
    if plan.weights is None and is_built_untrained(plan.model):
        raise UsageError(
            f"{plan.model} comes without trained weights",
            where="--weights",
            hint=f"train them: edgespiral train {plan.model} --data {plan.data}",
        )
    if plan.weights is not None:
        check_beside(splits.files, plan.weights)
    return load_model_for(splits, plan.model, weights=plan.weights, say=listener.say)


def run_spiral(
    plan: Plan,
    model: nn.Module,
    splits: DataSplits,
    *,
    out: Path,
    resume: bool,
    listener: Listener,
    task: Task,
    command: str,
    training: Training = USUAL,
) -> Result:
    """Run the spiral on a model and data already in memory; see `run_compress`.

    Args:
        training: the user's own, if it is.
    """
    require_drop(plan, task.metric)
    profiles = [require_timing(profile) for profile in load_profiles(plan.targets)]
    precisions = Precisions.shared(plan.precision, profiles, load_recipe(plan.recipe))
    with on_device(plan.device), ExitStack() as stack:
        model, splits, task = fitted(plan, model, splits, task, listener)
        stack.enter_context(locked(make_folder(out)))
        fresh = stack.enter_context(FreshProcess())
        remove_dead_below(out)
        for name in (OUTPUTS, CANDIDATES):
            check_claim(out / name)
        teacher = traced_teacher(model, splits, listener)
        multiple = shared_multiple(plan.sparsity, profiles)
        narrow = check_cuts(plan.criterion, plan.pruner, teacher, multiple)
        check_training(plan, teacher.model, training)
        kernels = {
            profile.name: sparse_kernels(plan.sparsity, plan.precision, profile)
            for profile in profiles
        }
        announce(plan.sparsity, teacher.model, kernels, listener)
        tell_cuts(teacher, narrow, multiple, listener)
        journal = _open_journal(plan, teacher, task, splits, out, resume=resume, command=command)
        write_beside(splits.files, out)
        with Fleet.of([measuring(profile) for profile in profiles]) as fleet:
            context = RunContext(
                plan=plan,
                out=out,
                splits=splits,
                fleet=fleet,
                journal=journal,
                listener=listener,
                teacher=teacher,
                teacher_onnx=out / "teacher" / "model.onnx",
                precisions=precisions,
                sparse_kernels=max(kernels.values(), key=KERNELS.index),
                cache_folder=cache_folder(plan.latency_cache),
                task=task,
                training=training,
            )
            Spiral(context, fresh).run()
        return write_results(journal, out)


def write_results(journal: Journal, out: Path) -> Result:
    """Write `result.json` and `report.html`, both functions of the journal alone."""
    events = journal.read()
    result = build_result(events)
    write_text(out / "result.json", result.model_dump_json(indent=2) + "\n")
    write_text(out / "report.html", render_html(events))
    return result


def _open_journal(
    plan: Plan,
    teacher: PrunableModel,
    task: Task,
    splits: DataSplits,
    out: Path,
    *,
    resume: bool,
    command: str,
) -> Journal:
    journal = Journal(out / "journal.jsonl")
    events = journal.read()
    started = RunStarted(
        plan=json.loads(plan.model_dump_json(exclude={"out"})),
        plan_sha256=plan_sha256(plan),
        teacher_sha256=weights_sha256(teacher.model),
        metric=task.metric,
        timed=task.timed,
        recipe_sha256=recipe_sha256(load_recipe(plan.recipe)),
        data_files=hashes(splits.files),
        versions=versions(),
        command=command,
        started_at=now_utc(),
    )
    if not events:
        journal.append(started)
        return journal
    require_order(events, journal.path)
    _require_same_run(events[0], started, out)
    if not resume:
        raise RunFolderError(
            "this folder already holds this run",
            where=str(out),
            hint="go on with --resume, or choose another --out",
        )
    return journal


def _require_same_run(begun: Event, now: RunStarted, out: Path) -> None:
    """Refuse a folder whose journal began with something else than a run that starts `now`.

    Raises:
        RunFolderError: it holds a run of another plan, teacher or recipe, or on other data.
    """
    if not isinstance(begun, RunStarted):
        raise RunFolderError("the journal does not begin with a run's start", where=str(out))
    if (begun.plan_sha256, begun.teacher_sha256) != (now.plan_sha256, now.teacher_sha256):
        raise RunFolderError(
            "this folder holds a run of another plan or another teacher",
            where=str(out),
            hint="choose another --out; nothing here was changed",
        )
    differing = {name for name, _ in begun.data_files.items() ^ now.data_files.items()}
    if differing:
        raise RunFolderError(
            f"the data have another {first_few(sorted(differing))} than the run in this folder",
            where=str(out),
            hint="put the data back that it was started with, or choose another --out",
        )
    if begun.recipe_sha256 not in (None, now.recipe_sha256):
        raise RunFolderError(
            "this folder holds a run with another recipe",
            where=str(out),
            hint="put the recipe back as it was, or choose another --out",
        )
    if begun.metric != now.metric:
        raise RunFolderError(
            f"this folder holds a run that is scored by {begun.metric.name}, not by "
            f"{now.metric.name}",
            where=str(out),
            hint="name the task that it was started with, or choose another --out",
        )
