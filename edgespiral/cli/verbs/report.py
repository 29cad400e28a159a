"""`edgespiral report`: what a run did, from its journal."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import Annotated

import typer

from edgespiral.cli.terminal import Terminal, tell_json


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, finished or not.")],
    *,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result record instead of the table.")
    ] = False,
) -> None:
    """Show a run: its turns, scores and latencies, from its journal alone."""

    from edgespiral.core.records.journal import read_run
    from edgespiral.core.system.files import make_folder, write_text
    from edgespiral.report.html import render_html
    from edgespiral.report.result import build_result
    from edgespiral.report.table import print_table

    events = read_run(run / "journal.jsonl")
    console = Terminal()
    if json:
        tell_json(build_result(events).model_dump_json(indent=2))
    else:
        print_table(console, events)
    if html is not None:
        make_folder(html.parent)
        write_text(html, render_html(events))
        Terminal(stderr=True).print(f"report: {html}", soft_wrap=True)
