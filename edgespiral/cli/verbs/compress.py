"""`edgespiral compress`: the main job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import Terminal, command_line

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
    raise typer.Exit(_run(config, flags, resume=resume))


def default_folder(plan: Plan) -> Path:
    """`runs/MODEL-DATA-TARGETS`, with what does not belong in a file name replaced by a dash."""
    name = "-".join((plan.model, plan.data, *plan.targets))
    return Path("runs") / re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")


def _run(config: Path | None, flags: dict[str, object], *, resume: bool) -> int:
    from edgespiral.export.recipe import load_recipe
    from edgespiral.measure.racing.entrants import profiles_with
    from edgespiral.spiral.plan import load_plan

    # A mistake in the plan is told before the seconds that PyTorch and data take to load.
    plan = load_plan(config, flags)
    profiles_with(plan.targets, plan.runtime)
    load_recipe(plan.recipe)
    return _compress(plan, plan.out or default_folder(plan), resume=resume)


def _compress(plan: Plan, out: Path, *, resume: bool) -> int:

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
