"""`edgespiral sweep`: many runs of one teacher."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import Annotated

import typer

from edgespiral.cli.terminal import Terminal, command_line


def sweep(
    plan: Annotated[Path, typer.Argument(help="A TOML file: what runs share, and what varies.")],
    *,
    out: Annotated[Path, typer.Option(help="The folder; each run has one in it.")],
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at once, in place of what the plan says.")
    ] = None,
) -> None:
    """Run every combination of budgets, seeds and so on, and show the front of them all.

    The same command again goes on with what has not ended.
    """
    from edgespiral.core.listener import OnConsole
    from edgespiral.report.sweep import print_sweep
    from edgespiral.spiral.sweeping.result import PAGE
    from edgespiral.spiral.sweeping.sweep import run_sweep

    listener = OnConsole(Terminal(stderr=True))
    done = run_sweep(plan, out=out, jobs=jobs, listener=listener, command=command_line())
    console = Terminal()
    print_sweep(console, done)
    console.print(f"page: {out / PAGE}", soft_wrap=True)
    failed = [run.exit_code for run in done.runs if run.problem is not None]
    raise typer.Exit(failed[0] or 1 if failed else 0)
