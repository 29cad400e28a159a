"""`edgespiral targets`: the devices that models can be compressed for."""

from __future__ import annotations

from typing import Annotated

import typer

from edgespiral.cli.findings import show_findings
from edgespiral.cli.terminal import Terminal
from edgespiral.cli.verbs.targets.new import new_target
from edgespiral.cli.verbs.targets.profile import profile_target
from edgespiral.cli.verbs.targets.race import race_target

targets_app = typer.Typer(
    help="List, show, check, add, profile and race the devices to measure on.", no_args_is_help=True
)
targets_app.command("new")(new_target)
targets_app.command("profile")(profile_target)
targets_app.command("race")(race_target)
Name = Annotated[str, typer.Argument(help="A target's name or file.")]


@targets_app.command("list")
def list_targets() -> None:
    """List the targets that can be had by name, and where each is written down."""
    from rich.table import Table
    from rich.text import Text

    from edgespiral.core.errors import EdgeSpiralError
    from edgespiral.measure.profile import list_profiles, load_profile

    table = Table(box=None, pad_edge=False)
    for column in ("target", "runtime", "transport", "description", "file"):
        # A name is there to be copied.
        table.add_column(column, overflow="fold", no_wrap=column == "target")
    for name, path in list_profiles().items():
        try:
            profile = load_profile(name, as_written=True)
        except EdgeSpiralError as error:
            table.add_row(name, "", "", Text(str(error), "red"), str(path))
            continue
        kinds = (profile.runtime.kind, profile.transport.kind)
        table.add_row(name, *kinds, profile.device.description, str(path))
    Terminal().print(table)


@targets_app.command("show")
def show_target(name: Name) -> None:
    """Show every setting of a target, the defaults filled in."""
    from rich.table import Table

    from edgespiral.measure.profile import load_profile

    profile = load_profile(name, as_written=True)
    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in profile.model_dump(mode="json", by_alias=True).items():
        settings = value if isinstance(value, dict) else {"": value}
        for setting, content in settings.items():
            table.add_row(f"{key}.{setting}".strip("."), "" if content is None else str(content))
    Terminal().print(table)


@targets_app.command("check")
def check_target(name: Name) -> None:
    """Try a target with a tiny model: what is fine there, and what is to be mended?"""
    from edgespiral.measure.profile import load_profile
    from edgespiral.measure.targets import check

    profile = load_profile(name)
    show_findings([(name, lambda: check.check_target(profile))])
