"""`edgespiral targets`: the devices that models can be compressed for."""

from __future__ import annotations

from typing import Annotated

import typer

targets_app = typer.Typer(
    help="List, show and check the devices to measure on.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="A target's name or file.")]


@targets_app.command("list")
def list_targets() -> None:
    """List the targets that can be had by name, and where each is written down."""
    from rich.console import Console
    from rich.table import Table

    from edgespiral.core.errors import EdgeSpiralError
    from edgespiral.core.profile import list_profiles, load_profile

    table = Table(box=None, pad_edge=False)
    for column in ("target", "runtime", "transport", "description", "file"):
        table.add_column(column, overflow="fold")
    for name, path in list_profiles().items():
        try:
            profile = load_profile(name)
        except EdgeSpiralError as error:
            table.add_row(name, "", "", f"[red]{error}", str(path))
            continue
        kinds = (profile.runtime.kind, profile.transport.kind)
        table.add_row(name, *kinds, profile.device.description, str(path))
    Console().print(table)


@targets_app.command("show")
def show_target(name: Name) -> None:
    """Show every setting of a target, the defaults filled in."""
    from rich.console import Console
    from rich.table import Table

    from edgespiral.core.profile import load_profile

    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in load_profile(name).model_dump(mode="json", by_alias=True).items():
        settings = value if isinstance(value, dict) else {"": value}
        for setting, given in settings.items():
            table.add_row(f"{key}.{setting}".strip("."), "" if given is None else str(given))
    Console().print(table, highlight=False)


@targets_app.command("check")
def check_target(name: Name) -> None:
    """Run a tiny model on a target: does it work, what is it, and how steadily does it measure?"""
    from rich.console import Console
    from rich.table import Table

    from edgespiral.core.profile import load_profile
    from edgespiral.measure.session import Session

    with Session(load_profile(name)) as session:
        lines = session.check()
    table = Table(box=None, pad_edge=False, show_header=False)
    for line in lines:
        mark = "[green]ok[/]" if line.ok else "[yellow]mind[/]"
        table.add_row(mark, line.name, line.value + (f"; {line.advice}" if line.advice else ""))
    Console().print(table, highlight=False)
