"""`edgespiral explore`: what speed would cost, before any training."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import Annotated

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import Terminal, command_line
from edgespiral.cli.verbs.compress import default_folder

# Of a plan, what says what is cut, where it is timed and how far to look.
ASKED = (
    *("model", "weights", "data", "task", "target", "precision", "recipe"),
    *("latency_ms", "speedup", "criterion", "pruner", "sparsity", "vocabulary"),
    *("batch_size", "epochs", "device", "seed", "latency_cache", "out"),
)


@options.with_options([options.PLAN_OPTIONS[name] for name in ASKED])
def explore(
    *,
    flags: dict[str, object],
    points: Annotated[int, typer.Option(help="How many latencies to look at.")] = 8,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="A finished run that says what a nat costs; again for others.",
            show_default="those beside --out",
        ),
    ] = None,
    resume: options.Resume = False,
    config: options.Config = None,
) -> None:
    """Show what several latencies would cost: cuts are built and timed, and nothing is trained.

    The budget is how far to look: as far as a run of one turn goes (4 times as fast) if it is not
    given.
    """
    from edgespiral.export.recipe import load_recipe
    from edgespiral.measure.profile import load_profiles
    from edgespiral.report.exploration import print_exploration
    from edgespiral.spiral.exploring.explore import PAGE, exploring_plan, run_explore

    plan = exploring_plan(config, flags)
    load_profiles(plan.targets)
    load_recipe(plan.recipe)
    out = plan.out or default_folder(plan, "explored-")
    exploration = run_explore(
        plan,
        points=points,
        trained=runs or None,
        out=out,
        resume=resume,
        console=Terminal(stderr=True),
        command=command_line(),
    )
    console = Terminal()
    print_exploration(console, exploration)
    console.print(f"page: {out / PAGE}", soft_wrap=True)
