"""`edgespiral targets new`: a profile for a device, written after asking it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from edgespiral.cli.terminal import Terminal
from edgespiral.core.errors import UsageError

FOLDER = Path("targets")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
WAYS = "--ssh HOST, --adb or --local"


def new_target(
    name: Annotated[str, typer.Argument(help="What the target is to be called.")],
    *,
    ssh: Annotated[
        str | None, typer.Option(metavar="HOST", help="A name of your ssh configuration.")
    ] = None,
    adb: Annotated[bool, typer.Option("--adb", help="An Android device.")] = False,
    local: Annotated[bool, typer.Option("--local", help="This machine.")] = False,
    serial: Annotated[
        str | None, typer.Option(help="Which Android device, if several are attached.")
    ] = None,
    ssh_config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another configuration file for ssh.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="The Python there.", show_default="python3")
    ] = None,
    workdir: Annotated[
        str | None, typer.Option(help="Where the work folder is made there.")
    ] = None,
    binary: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="onnxruntime_perf_test for an Android device.",
            show_default="$ORT_PERF_TEST",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a target of this name.")
    ] = False,
) -> None:
    """Ask a device what it has, and write ./targets/NAME.toml with sensible settings."""
    from edgespiral.core.system.files import make_folder, write_text

    path = _place(name, force=force)
    way: dict[str, object] = {"host": ssh, "serial": serial, "config": ssh_config}
    way |= {"python": python, "workdir": workdir}
    settings: dict[str, object] = {"kind": one_way(ssh, adb=adb, local=local)}
    settings |= {key: value for key, value in way.items() if value is not None}
    text = surveyed(path.stem, settings, binary)
    write_text(make_folder(path.parent) / path.name, text)
    console = Terminal()
    console.print(path.read_text(encoding="utf-8"), end="")
    last = f"\nwritten to {path}; try it: edgespiral targets check {name}"
    console.print(last, style="bold", soft_wrap=True)


def _place(name: str, *, force: bool) -> Path:
    if not NAME.fullmatch(name):
        what = f"{name!r} cannot be a target's name"
        raise UsageError(what, hint="use letters, digits, '.', '_' and '-'")
    path = FOLDER / f"{name}.toml"
    if path.exists() and not force:
        raise UsageError("is there already", where=str(path), hint="overwrite it with --force")
    return path


def one_way(ssh: str | None, *, adb: bool, local: bool) -> str:
    """The kind of transport that flags name.

    Raises:
        UsageError: none of them, or several.
    """
    ways = {"ssh": ssh is not None, "adb": adb, "local": local}
    named = [kind for kind, wanted in ways.items() if wanted]
    if len(named) != 1:
        what = f"a device is reached in one way, not by {' and '.join(named) or 'none'}"
        raise UsageError(what, hint=f"give one of {WAYS}")
    return named[0]


def surveyed(name: str, transport: dict[str, object], binary: str | None = None) -> str:
    """The text of a profile for the device that these settings of a `[transport]` reach.

    Raises:
        UsageError: the settings are wrong.
        TargetError: the device cannot be reached, or has nothing that could run a model.
    """
    from edgespiral.measure.targets.new import PERF_TEST, profile_text
    from edgespiral.measure.targets.survey import survey

    return profile_text(name, transport, survey(name, transport), binary or PERF_TEST)
