"""From a plan to a finished run folder."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from edgespiral import tasks
from edgespiral.core.batches import first_inputs
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
from edgespiral.data import check, load
from edgespiral.data.accompanying import check_beside, hashes, write_beside
from edgespiral.data.guard import watched
from edgespiral.distill.compute import on_device
from edgespiral.distill.own_training import USUAL, training_of
from edgespiral.export.rebuilt import FreshProcess
from edgespiral.export.recipe import load_recipe, recipe_sha256
from edgespiral.measure.engine_files import require_timing
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.latency_cache import cache_folder
from edgespiral.measure.profile import load_profiles
from edgespiral.models import is_built_untrained
from edgespiral.models.accept import folded, unwrapped
from edgespiral.models.example_inputs import example_of
from edgespiral.models.independence import check_answers
from edgespiral.models.load import load_model_for, one_output
from edgespiral.models.saved import check_computes, check_rebuilds, trace, weights_sha256
from edgespiral.prune.prunable import PrunableModel, engines
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.report.html import render_html
from edgespiral.report.result import build_result
from edgespiral.spiral.context import RunContext
from edgespiral.spiral.inspecting import share_lines
from edgespiral.spiral.loop import Spiral
from edgespiral.spiral.plan import plan_sha256
from edgespiral.spiral.planning.allocate import every_choice
from edgespiral.spiral.student.distillation import OUTPUTS
from edgespiral.spiral.student.kernels import KERNELS, sparse_kernels
from edgespiral.spiral.student.precision_search import CANDIDATES
from edgespiral.spiral.student.precisions import Precisions, measuring
from edgespiral.spiral.student.sparsity import announce, planned_multiple
from edgespiral.spiral.student.unlabelled import taught_by
from edgespiral.spiral.training import check_training
from edgespiral.spiral.vocabulary import with_used_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console
    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.events import Event
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.result import Result
    from edgespiral.distill.own_training import Training
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
    with on_device(plan.device):
        return _run(
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


def _run(
    plan: Plan,
    model: nn.Module,
    splits: DataSplits,
    *,
    out: Path,
    resume: bool,
    listener: Listener,
    task: Task,
    command: str,
    training: Training,
) -> Result:
    _require_drop(plan, task.metric)
    profiles = [require_timing(profile) for profile in load_profiles(plan.targets)]
    model, splits, task = _fitted(plan, model, splits, task, listener)
    precisions = Precisions.shared(plan.precision, profiles, load_recipe(plan.recipe))
    make_folder(out)
    with locked(out), FreshProcess() as fresh:
        remove_dead_below(out)
        for name in (OUTPUTS, CANDIDATES):
            check_claim(out / name)
        teacher = _teacher(model, splits, listener)
        steps = [planned_multiple(plan.sparsity, one.device.channel_multiple) for one in profiles]
        multiple = math.lcm(*steps)
        narrow = _check_cuts(plan.criterion, plan.pruner, teacher, multiple)
        check_training(plan, teacher.model, training)
        kernels = {
            profile.name: sparse_kernels(plan.sparsity, plan.precision, profile)
            for profile in profiles
        }
        announce(plan.sparsity, teacher.model, kernels, listener)
        _tell_cuts(teacher, narrow, multiple, listener)
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


def _fitted(
    plan: Plan, model: nn.Module, splits: DataSplits, task: Task, listener: Listener
) -> tuple[nn.Module, DataSplits, Task]:
    """The model, the data and the task as they go together.

    Raises:
        DataError: the data are not what the task takes.
        ModelError: as `_accepted`.
    """
    task, splits = task.fitted(splits if plan.augment else splits.unaugmented())
    splits = watched(splits, task.target_problem)
    if splits.is_labelled:
        task.check_data(splits)
    if plan.vocabulary == "data":
        model, splits = with_used_tokens(model, splits)
    check(splits, plan.batch_size)
    model, task = _accepted(model, splits, task, listener)
    if not splits.is_labelled:
        listener.say(f"  {splits.name} has no targets: the teacher's outputs are taken for them")
        splits = taught_by(model, splits, task)
    return model, splits, task


def _require_drop(plan: Plan, metric: Metric) -> None:
    """Refuse to guess what may be lost of a metric whose unit is the task's own.

    Raises:
        UsageError: it is not said.
    """
    if metric.unit != "%" and "max_drop" not in plan.model_fields_set:
        raise UsageError(
            f"how much worse {metric.label} may get is not said",
            where="--max-drop",
            hint="it is in the metric's own unit, and what is little of it only you know",
        )


def _accepted(
    model: nn.Module, splits: DataSplits, task: Task, listener: Listener
) -> tuple[nn.Module, Task]:
    """`model` of plain layers, which takes the data and returns what the task wants, and the task.

    Raises:
        ModelError: it is of a kind that cannot be trained or cut, or does not fit the data.
    """
    for note in splits.notes:
        listener.say(f"  {note}")
    model, task = task.prepared(unwrapped(model), splits)
    model = one_output(model, splits, task.main_output)
    plain, lines = folded(model)
    for line in lines:
        listener.say(f"  {line}")
    with listener.steps("trying the model on the data"):
        check_answers(plain, splits, task.check_outputs)
        if lines:
            check_computes(plain, model, first_inputs(splits))
    return plain, task


def _teacher(model: nn.Module, splits: DataSplits, listener: Listener) -> PrunableModel:
    """`model` traced, and compared on samples with what its source will rebuild."""
    inputs = first_inputs(splits)
    with listener.steps("finding what can be cut"):
        graph = trace(model, inputs)
        teacher = PrunableModel.of(graph, splits.input_shape, example=example_of(splits))
        check_rebuilds(teacher.model, inputs)
    return teacher


def _check_cuts(criterion: str, pruner: str, teacher: PrunableModel, multiple: int) -> list[str]:
    """Refuse what could only fail once time was spent; the groups too narrow to be cut.

    Raises:
        UsageError: nothing can be cut in steps of `multiple`, or not by the engine asked for.
        ModelError: the criterion has nothing to go by.
    """
    engines(teacher, pruner)
    options = every_choice(teacher.groups, teacher.branches, multiple).options
    CRITERIA.get(criterion).check(teacher.model, teacher.groups)
    return [f"{name} ({widths[0]})" for name, widths in options.items() if len(widths) == 1]


def _tell_cuts(
    teacher: PrunableModel, narrow: Sequence[str], multiple: int, listener: Listener
) -> None:
    """Say what will not be cut."""
    for line in share_lines(teacher):
        listener.say(line)
    if narrow:
        listener.say(f"  too narrow to lose {multiple} channels: {first_few(narrow)}")


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
