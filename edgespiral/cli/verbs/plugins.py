"""`edgespiral plugins`: everything that goes by name and that other packages may add to."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgespiral.cli.terminal import Terminal, tell_json

if TYPE_CHECKING:
    from edgespiral.core.plugins import PluginKind


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False,
) -> None:
    """List tasks, criteria, data, runtimes, transports, pruners and logs, and what brings each."""
    listed = [(kind, plugin) for kind in kinds() for plugin in kind.plugins()]
    if as_json:
        rows = [
            {"kind": kind.kind, "group": kind.group, **asdict(plugin), "summary": plugin.summary}
            for kind, plugin in listed
        ]
        tell_json(json.dumps(rows, indent=2))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "from", "what it is"):
        table.add_column(column, overflow="fold")
    for kind, plugin in listed:
        table.add_row(kind.kind, plugin.name, plugin.distribution, plugin.summary)
    Terminal().print(table)


def kinds() -> tuple[PluginKind[Any], ...]:
    """Everything that other packages may add to."""
    from edgespiral.data.sources import SOURCES
    from edgespiral.loggers import LOGGERS
    from edgespiral.measure.runtimes import RUNTIMES
    from edgespiral.measure.transports import TRANSPORTS
    from edgespiral.prune.engines import PRUNING_ENGINES
    from edgespiral.prune.scoring.criteria import CRITERIA
    from edgespiral.tasks import TASKS

    return TASKS, CRITERIA, SOURCES, RUNTIMES, TRANSPORTS, PRUNING_ENGINES, LOGGERS
