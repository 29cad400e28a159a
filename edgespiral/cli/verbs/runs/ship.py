"""`edgespiral ship`: a run's model with programs that run it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import Annotated

import typer

from edgespiral.cli.terminal import Terminal, tell


def ship(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    *,
    runtime: Annotated[str, typer.Option(help="What is to run the model.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Of which a validation sample is recorded, if the run has kept none.",
            show_default="the run's",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Measure there for the README, in place of the run's own figure.",
            show_default="the run's, where it did not measure by this runtime",
        ),
    ] = None,
) -> None:
    """Write a folder with a run's model in a runtime's form and programs that run and check it.

    C++ and Python: both run one recorded sample and compare with the recorded outputs. The Python
    one is run before the folder is left.
    """
    from rich.markup import escape

    from edgespiral.spiral.shipping import ship as shipping

    with Terminal(stderr=True).status(f"shipping {escape(str(run))} by {escape(runtime)}"):
        shipment = shipping.ship(run, runtime, out, data=data, target=target)
    tell(f"{out}: {shipment.precision} by {runtime}, its sample computes what was recorded")
    for row in shipment.figures:
        when = "now" if shipment.is_measured_now else "in the run"
        tell(f"{row.stats.p50_ms:.4g} ms on {row.target}, measured {when}")
    tell(f"build it: cmake -S {out} -B {out / 'build'}; {out / 'README.md'} has the rest")
