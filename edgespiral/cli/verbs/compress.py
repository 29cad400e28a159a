"""`edgespiral compress`: the main job."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import Terminal, command_line
from edgespiral.core.errors import EdgeSpiralError
from edgespiral.core.system.launched import is_launched, is_quiet, is_restarted

if TYPE_CHECKING:
    from edgespiral.spiral.plan import Plan


@options.with_options(options.PLAN_OPTIONS.values())
def compress(
    *,
    flags: dict[str, object],
    resume: options.Resume = False,
    config: options.Config = None,
) -> None:
    """Prune and distil a trained model until it meets a latency budget on its targets."""
    try:
        code = _run(config, flags, resume=resume)
    except EdgeSpiralError as error:
        if not is_quiet():
            raise
        code = error.exit_code
    raise typer.Exit(code)


def default_folder(plan: Plan) -> Path:
    """`runs/MODEL-DATA-TARGETS`, with what does not belong in a file name replaced by a dash."""
    name = "-".join((plan.model, plan.data, *plan.targets))
    return Path("runs") / re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")


def _run(config: Path | None, flags: dict[str, object], *, resume: bool) -> int:
    from edgespiral.export.recipe import load_recipe
    from edgespiral.measure.profile import load_profiles
    from edgespiral.spiral.plan import load_plan

    # A mistake in the plan is told before the seconds that PyTorch and data take to load.
    plan = load_plan(config, flags)
    load_profiles(plan.targets)
    load_recipe(plan.recipe)
    if plan.devices is None:
        return _compress(plan, resume=resume)
    return _in_processes(plan, plan.devices, resume=resume)


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
    print_table(console, read(out / "journal.jsonl"))
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)
    return result.exit_code
