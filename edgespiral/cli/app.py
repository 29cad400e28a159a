"""The `edgespiral` command: its verbs, and the only place that catches."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edgespiral.cli.one_line import OneLineGroup
from edgespiral.cli.pages import site_url, with_page
from edgespiral.cli.terminal import OutputClosedError, Terminal, drop_unwritten, open_streams, tell
from edgespiral.cli.verbs.bench import bench_app
from edgespiral.cli.verbs.build import build
from edgespiral.cli.verbs.calibrate import calibrate
from edgespiral.cli.verbs.compress import compress
from edgespiral.cli.verbs.cut import cut
from edgespiral.cli.verbs.doctor.verb import doctor
from edgespiral.cli.verbs.export import export
from edgespiral.cli.verbs.init.verb import init
from edgespiral.cli.verbs.inspect import inspect
from edgespiral.cli.verbs.measure import measure
from edgespiral.cli.verbs.plugins import plugins
from edgespiral.cli.verbs.report import report
from edgespiral.cli.verbs.runs.explore import explore
from edgespiral.cli.verbs.runs.ship import ship
from edgespiral.cli.verbs.runs.sweep import sweep
from edgespiral.cli.verbs.targets.group import targets_app
from edgespiral.cli.verbs.train import train
from edgespiral.cli.verbs.validate import validate
from edgespiral.cli.verbs.version import version_lines
from edgespiral.core.errors import (
    BrokenInstallError,
    EdgeSpiralError,
    ExitCode,
    GateCode,
    RunFolderError,
    UsageError,
)
from edgespiral.core.system.stopping import STOP
from edgespiral.core.text import described, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

DEBUG = "EDGESPIRAL_DEBUG"
LONGEST_ERROR = 4000
UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP),
)
# Of a torchvision that is not of PyTorch's build.
OTHER_BUILD = "operator torchvision::"
# Of the error that `tempfile` raises, which has no class of its own.
NO_TEMPORARY = "No usable temporary directory"

app = typer.Typer(
    name="edgespiral",
    cls=OneLineGroup,
    help="Compress a trained PyTorch model until it measurably meets a latency budget.",
    epilog="Exit codes are explained in docs/exit-codes.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
VERBS: tuple[Callable[..., object], ...] = (
    init,
    compress,
    explore,
    sweep,
    train,
    cut,
    measure,
    export,
    build,
    ship,
    calibrate,
    report,
    inspect,
    validate,
    plugins,
    doctor,
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
    open_streams()
    _accept_any_text()
    STOP.listen()
    try:
        app()
    except OutputClosedError:
        sys.exit(_exit_code(ExitCode.OUTPUT_CLOSED))
    except EdgeSpiralError as error:
        _end_if_stopped()
        _complain(f"error: {with_page(error, site_url(), _verb())}")
        sys.exit(_exit_code(error.exit_code))
    except KeyboardInterrupt:
        _end_if_stopped()
        sys.exit(ExitCode.INTERRUPTED)
    except SystemExit as ended:  # typer's own, for an interrupt too
        if ended.code == ExitCode.INTERRUPTED:
            _end_if_stopped()
        raise
    except Exception as error:
        _end_if_stopped()
        if os.environ.get(DEBUG):
            raise
        _end_unforeseen(error)
    finally:
        drop_unwritten()


def _accept_any_text() -> None:
    """A terminal that knows no dash gets its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end_unforeseen(error: Exception) -> NoReturn:
    """End with what nobody caught: a disk's doing, an installation's, or a defect."""
    cause = _unwritable(error) or _unloadable(error)
    if cause is None:
        _complain(f"internal error: {_described(error)} (set {DEBUG}=1 for the traceback)")
        sys.exit(_exit_code(ExitCode.INTERNAL))
    _complain(f"error: {with_page(cause, site_url(), _verb())}")
    sys.exit(_exit_code(cause.exit_code))


def _end_if_stopped() -> None:
    """End with the signal's exit code where there was one: what failed since is its doing."""
    code = STOP.exit_code
    if code is None:
        return
    STOP.deafen()
    if code != ExitCode.INTERRUPTED:
        with suppress(OSError):  # a terminal that hung up
            _complain(f"stopped by {STOP.name}")
    sys.exit(code)


def _verb() -> str:
    return sys.argv[1] if len(sys.argv) > 1 else ""


def _exit_code(code: ExitCode) -> int:
    """What an error ends with: under `bench` always 2, as 1 and 3 are verdicts there."""
    return GateCode.ERROR if _verb() == "bench" else code


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="With --version: all that a bug report needs."),
    ] = False,
) -> None:
    """Compress a trained PyTorch model until it measurably meets a latency budget."""
    if version:
        tell("\n".join(version_lines(verbose=verbose)))
        raise typer.Exit
    if verbose:
        raise UsageError("goes with --version", where="--verbose")
    if context.invoked_subcommand is None:
        raise UsageError("no command is given", hint="edgespiral --help lists them")
    _require_working_folder()


def _require_working_folder() -> None:
    """Refuse a working folder that was removed, in which libraries end the process themselves.

    Raises:
        RunFolderError: it is gone, or cannot be looked at.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise RunFolderError(
            f"cannot be used: {error.strerror}",
            where="the working folder",
            hint="go to one that is there",
        ) from error


def _unwritable(error: Exception) -> EdgeSpiralError | None:
    """What to say of an error that the disk, or whoever owns it, is the cause of."""
    if not isinstance(error, OSError):
        return None
    if NO_TEMPORARY in str(error):
        return RunFolderError("no folder for temporary files can be written to", where="$TMPDIR")
    if error.errno not in UNWRITABLE:
        return None
    what = f"cannot be used: {error.strerror}"
    temporary = tempfile.gettempdir()
    if not isinstance(error.filename, str):
        hint = f"look at the folders that you named, and at that for temporary files ({temporary})"
        return RunFolderError(f"a file {what}", hint=hint)
    if Path(error.filename).is_relative_to(temporary):
        return RunFolderError(what, where=f"$TMPDIR ({temporary})", hint="free space, or set it")
    return RunFolderError(what, where=error.filename, hint="check its permissions and free space")


def _unloadable(error: Exception) -> EdgeSpiralError | None:
    """What to say of a library that cannot be loaded here, or is of another build than another."""
    is_ours = isinstance(error, ImportError) and (error.name or "").startswith("edgespiral")
    if is_ours or not (isinstance(error, ImportError) or OTHER_BUILD in str(error)):
        return None
    return BrokenInstallError(
        f"a library cannot be loaded: {described(error)}",
        hint="edgespiral doctor says which one, and what to do",
    )


def _described(error: Exception) -> str:
    return f"{described(error)}; details in {_saved_traceback()}"


def _saved_traceback() -> str:
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="edgespiral-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exc(file=file)
    except OSError as error:
        return f"no file, as none can be written ({error.strerror})"
    return file.name


def _complain(line: str) -> None:
    """Print an error where that can be done; its exit code is told in any case."""
    with suppress(OutputClosedError, RunFolderError):
        text = shortened(line, LONGEST_ERROR)
        Terminal(stderr=True).print(text, style="red", soft_wrap=True)
