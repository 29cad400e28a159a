"""`edgespiral report`: what a run did, or what several came to, from their journals."""

from __future__ import annotations

import json as jsonlib
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.cli.terminal import Terminal, tell_json
from edgespiral.core.errors import RunFolderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgespiral.core.records.events import Event


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="A run folder, finished or not; or several."),
    ],
    *,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the result record, or those of all, not the table."),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Write the page anew while the run goes on, until it ends."),
    ] = False,
) -> None:
    """Show a run: its turns, scores and latencies, from its journal alone; or compare several."""
    if watch:
        _watch(runs, html, json=json)
    if len(runs) == 1:
        with _about(runs[0]):
            _one(_read(runs[0]), html, json=json)
        return
    named = _named(runs)
    if json:
        results = {name: _result(run) for name, run in named.items()}
        tell_json(jsonlib.dumps(results, indent=2))
    _several({name: _read(run) for name, run in named.items()}, html, json=json)


def _read(run: Path) -> list[Event]:
    """The records of a run's journal.

    Raises:
        RunFolderError: there is none, it is damaged, or it holds no run.
    """
    from edgespiral.core.records.journal import read_run

    events = read_run(run / "journal.jsonl")
    if not events:
        hint = "name the folder of a run, or start one"
        raise RunFolderError("the journal holds no run", where=str(run), hint=hint)
    return events


def _result(run: Path) -> object:
    """The result record of a finished run, for JSON."""
    from edgespiral.report.result import build_result

    with _about(run):
        return build_result(_read(run)).model_dump(mode="json")


@contextmanager
def _about(run: Path) -> Iterator[None]:
    """Say of what is wrong inside which run it is about."""
    try:
        yield
    except RunFolderError as error:
        error.where = error.where or str(run)
        raise


def _watch(runs: Sequence[Path], html: Path | None, *, json: bool) -> None:
    """Keep the page of a run up to date until it ends.

    Raises:
        UsageError: there are several runs, no page, or a record is asked for.
    """
    from edgespiral.report.live import watch

    if len(runs) != 1 or html is None or json:
        raise UsageError(
            "watches one run and writes a page",
            where="--watch",
            hint="edgespiral report RUN --watch --html live.html",
        )
    Terminal(stderr=True).print(f"watching {runs[0]}: {html}", soft_wrap=True)
    watch(runs[0] / "journal.jsonl", html)


def _named(runs: Sequence[Path]) -> dict[str, Path]:
    """Each run by its folder's name, or by its path where two are called alike.

    Raises:
        UsageError: a folder is named twice.
    """
    names = [run.resolve().name for run in runs]
    named = {
        name if names.count(name) == 1 else str(run): run
        for name, run in zip(names, runs, strict=True)
    }
    if len({run.resolve() for run in runs}) < len(runs):
        raise UsageError("a run is named twice", where="RUN", hint="name each once")
    return named


def _one(events: Sequence[Event], html: Path | None, *, json: bool) -> None:
    from edgespiral.report.html import render_html
    from edgespiral.report.result import build_result
    from edgespiral.report.table import print_table

    if json:
        tell_json(build_result(events).model_dump_json(indent=2))
    else:
        print_table(Terminal(), events)
    if html is not None:
        _write(html, render_html(events))


def _several(journals: Mapping[str, Sequence[Event]], html: Path | None, *, json: bool) -> None:
    from edgespiral.report.comparison import compared, comparison_html, print_comparison

    if not json:
        print_comparison(Terminal(), compared(journals))
    if html is not None:
        _write(html, comparison_html(compared(journals)))


def _write(html: Path, page: str) -> None:
    from edgespiral.core.system.files import write_page

    write_page(html, page)
    Terminal(stderr=True).print(f"report: {html}", soft_wrap=True)
