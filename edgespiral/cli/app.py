"""The `edgespiral` command: its verbs, and the only place that catches."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral import __version__
from edgespiral.cli.bench import bench_app
from edgespiral.cli.build import build
from edgespiral.cli.calibrate import calibrate
from edgespiral.cli.compress import compress
from edgespiral.cli.export import export
from edgespiral.cli.measure import measure
from edgespiral.cli.report import report
from edgespiral.cli.targets import targets_app
from edgespiral.cli.train import train
from edgespiral.cli.validate import validate
from edgespiral.core.errors import EdgeSpiralError, ExitCode, GateCode

if TYPE_CHECKING:
    from collections.abc import Callable

DEBUG = "EDGESPIRAL_DEBUG"

app = typer.Typer(
    name="edgespiral",
    help="Compress a trained PyTorch model until it measurably meets a latency budget.",
    epilog="Exit codes are explained in docs/exit-codes.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
VERBS: tuple[Callable[..., object], ...] = (
    compress,
    train,
    measure,
    export,
    build,
    calibrate,
    report,
    validate,
)
for verb in VERBS:
    app.command()(verb)
app.add_typer(targets_app, name="targets")
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Run the command line and end the process with a documented exit code."""
    # Threads that spin while they wait starve each other where the machine is shared: two trainings
    # on two cores took ten times as long as one after the other. Read when PyTorch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except EdgeSpiralError as error:
        _complain(f"error: {error}")
        sys.exit(_exit_code(error.exit_code))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        _complain(f"internal error: {_described(error)} (set {DEBUG}=1 for the traceback)")
        sys.exit(_exit_code(ExitCode.INTERNAL))


def _exit_code(code: ExitCode) -> int:
    """What an error ends with: under `bench` always 2, as 1 and 3 are verdicts there."""
    return GateCode.ERROR if sys.argv[1:2] == ["bench"] else code


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgespiral {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Compress a trained PyTorch model until it measurably meets a latency budget."""


def _described(error: Exception) -> str:
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return f"{kind}: {text}; details in {_saved_traceback()}"


def _saved_traceback() -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="edgespiral-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exc(file=file)
    return file.name


def _complain(line: str) -> None:
    from rich.console import Console

    Console(stderr=True).print(line, style="red", markup=False, highlight=False, soft_wrap=True)
