"""From a plan to a finished run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral import tasks
from edgespiral.core.errors import (
    MeasurementError,
    ProcessLostError,
    TargetError,
    UsageError,
)
from edgespiral.core.listener import OnConsole
from edgespiral.core.system.files import write_text
from edgespiral.core.system.invocation import tell_stopped
from edgespiral.data import load
from edgespiral.data.accompanying import check_beside
from edgespiral.distill.own_training import training_of
from edgespiral.loggers.listening import on_console
from edgespiral.models import is_built_untrained
from edgespiral.models.load import load_model_for
from edgespiral.report.html import render_html
from edgespiral.report.result import build_result
from edgespiral.spiral.loop import Spiral
from edgespiral.spiral.starting.fitting import require_drop
from edgespiral.spiral.starting.opened import opened
from edgespiral.spiral.starting.request import RunRequest

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.journal import Journal
    from edgespiral.core.records.result import Result
    from edgespiral.spiral.plan import Plan


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
    training, listener = training_of(plan.train), on_console(OnConsole(console), plan.log)
    splits, task = load(plan.data), tasks.load(plan.task)
    model = load_teacher(plan, splits, listener)
    try:
        return run_spiral(
            RunRequest(
                plan=plan,
                model=model,
                splits=splits,
                task=task,
                training=training,
                out=out,
                resume=resume,
                listener=listener,
                command=command,
            )
        )
    except (KeyboardInterrupt, MeasurementError, ProcessLostError, TargetError):
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


def run_spiral(request: RunRequest) -> Result:
    """Run the spiral on a model and data already in memory; see `run_compress`."""
    require_drop(request.task.metric, request.plan.model_fields_set)
    with opened(request) as (context, fresh):
        Spiral(context, fresh).run()
        return write_results(context.journal, request.out)


def write_results(journal: Journal, out: Path) -> Result:
    """Write `result.json` and `report.html`, both functions of the journal alone."""
    events = journal.read()
    result = build_result(events)
    write_text(out / "result.json", result.model_dump_json(indent=2) + "\n")
    write_text(out / "report.html", render_html(events))
    return result
