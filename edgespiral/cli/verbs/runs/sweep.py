"""`edgespiral sweep`: many runs of one teacher."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import Annotated

import typer

from edgespiral.cli.terminal import Terminal, command_line
from edgespiral.core.errors import UsageError


def sweep(
    plan: Annotated[Path, typer.Argument(help="A TOML file: what runs share, and what varies.")],
    *,
    out: Annotated[Path, typer.Option(help="The folder; each run has one in it.")],
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Runs at once, in place of what the plan says."),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Run on the Ray cluster of RAY_ADDRESS, or on one here.")
    ] = False,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Run nothing: write a script for sbatch.")
    ] = False,
) -> None:
    """Run every combination of budgets, seeds and so on, and show the front of them all.

    The same command again goes on with what has not ended.
    """
    from edgespiral.core.listener import OnConsole
    from edgespiral.report.sweep import print_sweep
    from edgespiral.spiral.sweeping.result import PAGE
    from edgespiral.spiral.sweeping.sweep import Sweeping

    if ray and slurm:
        raise UsageError("goes without --ray", where="--slurm")
    console = Terminal()
    sweeping = Sweeping(plan, out, jobs, OnConsole(Terminal(stderr=True)), command_line())
    if slurm:
        done, script = sweeping.for_slurm()
        message = "all runs have ended" if script is None else f"submit it: sbatch {script}"
        console.print(message, soft_wrap=True)
    else:
        done = sweeping.on_ray() if ray else sweeping.here()
    print_sweep(console, done)
    console.print(f"page: {out / PAGE}", soft_wrap=True)
    failed = [run.exit_code for run in done.runs if run.problem is not None]
    raise typer.Exit(failed[0] or 1 if failed else 0)
