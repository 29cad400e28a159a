"""Findings of checks as a table: `ok`, `mind`, and `mend` with the exit code of what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from edgespiral.cli.terminal import Terminal
from edgespiral.core.errors import EdgeSpiralError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgespiral.measure.targets.check import CheckLine

    Check = Callable[[], Iterable[CheckLine]]


def show_findings(checks: Sequence[tuple[str, Check]]) -> None:
    """Print what each of several checks says; one that fails stops none of the others.

    Args:
        checks: of each its name, for an error that has no place of its own, and the check.

    Raises:
        Exit: something is to be mended, with the exit code of the first such thing.
    """
    from rich.table import Table
    from rich.text import Text

    failures: list[EdgeSpiralError] = []
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, check in checks:
        try:
            for line in check():
                mark = Text("ok", "green") if line.ok else Text("mind", "yellow")
                text = "; ".join(filter(None, (line.value, line.advice)))
                table.add_row(mark, line.name, Text(text))
        except EdgeSpiralError as error:
            text = "; ".join(filter(None, (error.what, error.hint)))
            table.add_row(Text("mend", "red"), error.where or name, Text(text))
            failures.append(error)
    Terminal().print(table)
    if failures:
        raise typer.Exit(failures[0].exit_code)
