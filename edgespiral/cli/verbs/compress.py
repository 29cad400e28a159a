"""`edgespiral compress`: the main job."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import Terminal, command_line
from edgespiral.core.errors import EdgeSpiralError, ExitCode, UsageError
from edgespiral.core.system.launched import is_launched, is_quiet, is_restarted

if TYPE_CHECKING:
    from edgespiral.spiral.plan import Plan
    from edgespiral.spiral.starting.rehearsal import Rehearsal


@options.with_options(options.PLAN_OPTIONS.values())
def compress(
    *,
    flags: dict[str, object],
    resume: options.Resume = False,
    config: options.Config = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Write nothing: say what would be cut, timed and trained, and about how long.",
        ),
    ] = False,
) -> None:
    """Prune and distil a trained model until it meets a latency budget on its targets."""
    if dry_run and resume:
        raise UsageError(
            "a run that is there is not tried", where="--dry-run", hint="leave out --resume"
        )
    try:
        code = _run(config, flags, resume=resume, dry_run=dry_run)
    except EdgeSpiralError as error:
        if not is_quiet():
            raise
        code = error.exit_code
    raise typer.Exit(code)


def default_folder(plan: Plan, prefix: str = "") -> Path:
    """`runs/MODEL-DATA-TARGETS`, with a dash for whatever does not belong in a file name.

    Args:
        prefix: of the folder's name.
    """
    name = prefix + "-".join((plan.model, plan.data, *plan.targets))
    return Path("runs") / re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")


def _run(config: Path | None, flags: dict[str, object], *, resume: bool, dry_run: bool) -> int:
    from edgespiral.export.recipe import load_recipe
    from edgespiral.loggers.listening import check_logs
    from edgespiral.measure.racing.entrants import profiles_with
    from edgespiral.spiral.plan import load_plan

    # A mistake in the plan is told before the seconds that PyTorch and data take to load.
    plan = load_plan(config, flags)
    profiles_with(plan.targets, plan.runtime, by_layers=plan.is_by_layers)
    load_recipe(plan.recipe)
    check_logs(plan.log)
    if dry_run:
        return _rehearse(plan)
    if plan.devices is None:
        return _compress(plan, resume=resume)
    return _in_processes(plan, plan.devices, resume=resume)


def _rehearse(plan: Plan) -> int:
    from edgespiral.core.listener import OnConsole
    from edgespiral.spiral.starting.rehearsal import rehearse

    rehearsal = rehearse(plan, OnConsole(Terminal(stderr=True)))
    _show(rehearsal, plan)
    return ExitCode.OK


def _show(rehearsal: Rehearsal, plan: Plan) -> None:
    from rich.table import Table

    from edgespiral.report.formats import seconds

    console, work = Terminal(), rehearsal.work
    console.print(f"cut: {rehearsal.groups} groups of {rehearsal.channels:,} channels")
    pairs = zip(plan.targets, rehearsal.teacher_ms, rehearsal.budgets.each, strict=True)
    for target, latency_ms, budget in pairs:
        goal = f" to {budget}" if budget.latency_ms is not None else ""
        console.print(f"timed: on {target}, from {latency_ms:.3g} ms{goal}", soft_wrap=True)
    for size, share in rehearsal.budgets.footprints:
        console.print(f"size: to {size}, about {100 / share:.3g} % of the teacher's")
    if work.turns:
        epochs = f"{plan.epochs:g} epochs of {work.train:,} samples"
        several = "s" if work.turns > 1 else ""
        training = f"trained: {epochs} in {work.turns} turn{several}"
        if plan.is_quality_goal:
            training = f"trained: at most {work.turns} student{several}, {epochs} each"
        console.print(f"{training}, {work.steps:,} steps", soft_wrap=True)
    else:
        console.print("trained: nothing, as the teacher seems to meet the budget")
    table = Table(box=None, pad_edge=False)
    table.add_column("estimate")
    table.add_column("seconds", justify="right")
    table.add_column("for")
    for part in rehearsal.parts:
        table.add_row(part.name, f"{part.seconds:.1f}", part.made_of)
    console.print(table)
    left_out = f"; not counted: {', '.join(rehearsal.left_out)}" if rehearsal.left_out else ""
    total = f"in all about {seconds(rehearsal.seconds)} on this machine as it is now, an estimate"
    console.print(f"{total} from one of each step{left_out}", soft_wrap=True)
    console.print("nothing was written", soft_wrap=True)


def _in_processes(plan: Plan, devices: int | str, *, resume: bool) -> int:
    """Start this command in as many processes as devices are asked for, if it is not in them."""
    from edgespiral.core.listener import OnConsole
    from edgespiral.distill.parallel.launch import launched, process_count
    from edgespiral.distill.parallel.replica import require_shares

    if is_launched():
        return _compress(plan, resume=resume)
    processes = process_count(devices, plan.device)
    require_shares(plan.batch_size, plan.accumulate, processes)
    if processes == 1:
        return _compress(plan, resume=resume)
    return launched(processes, sys.argv[1:], OnConsole(Terminal(stderr=True)))


def _compress(plan: Plan, *, resume: bool) -> int:
    from edgespiral.distill.parallel.replica import require_shares
    from edgespiral.distill.parallel.world import joined
    from edgespiral.spiral.workers.follow import follow

    with joined(plan.device) as world:
        plan = plan.model_copy(update={"device": world.device if world.size > 1 else plan.device})
        if not world.is_first:
            return follow(plan, world, _complain)
        require_shares(plan.batch_size, plan.accumulate, world.size)
        out = plan.out or default_folder(plan)
        return _lead(plan, out, resume=resume or is_restarted())


def _complain(error: EdgeSpiralError) -> None:
    Terminal(stderr=True).print(f"error: {error}", style="red", soft_wrap=True)


def _lead(plan: Plan, out: Path, *, resume: bool) -> int:
    from edgespiral.core.records.journal import read
    from edgespiral.report.table import print_table
    from edgespiral.spiral.run import run_compress

    result = run_compress(
        plan, out=out, resume=resume, console=Terminal(stderr=True), command=command_line()
    )
    console = Terminal()
    print_table(console, read(out / "journal.jsonl"), are_doubts_told=True)
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)
    return result.exit_code
