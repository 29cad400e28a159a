"""The gate's outcome as a terminal table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgespiral.core.records.measurement import Verdict
from edgespiral.gate.report import words
from edgespiral.report.formats import ms

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgespiral.gate.records import BenchResult, CaseResult

STYLES = {
    Verdict.MET: "green",
    Verdict.MISSED: "red",
    Verdict.ERROR: "red",
    Verdict.UNDECIDED: "yellow",
    Verdict.MEASURED: "",
}
NUMBERS = ("p50 ms", "p99 ms", "change %", "samples", "seconds")


def render_bench(result: BenchResult) -> RenderableType:
    """Each model's latency, change and verdict, then the reasons of those that did not pass."""
    table = Table(title=Text(words.headline(result)), box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    for name in NUMBERS:
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for case in result.cases:
        table.add_row(*_cells(case), Text(case.verdict, style=STYLES[case.verdict]))
    notes = [Text(f"{case.name}: {words.summary(case)}") for case in result.cases]
    closing = [Text(text, style="dim") for text in _closing(result)]
    return Group(table, *notes, *closing)


def _cells(case: CaseResult) -> list[str | Text]:
    # A name is text, whatever brackets are in it.
    name = Text(case.name)
    if case.measurement is None:
        return [name, "", "", "", "", f"{case.seconds:.1f}"]
    stats = case.measurement.stats
    change = [check for check in case.checks if check.kind == "median"]
    return [
        name,
        ms(stats.p50_ms),
        "" if stats.p99_ms is None else ms(stats.p99_ms),
        words.signed(change[0].value) if change else "",
        str(stats.count),
        f"{case.seconds:.1f}",
    ]


def _closing(result: BenchResult) -> list[str]:
    against = {case.reference.label for case in result.cases if case.reference}
    compared = f"compared with {', '.join(sorted(against))}" if against else ""
    dirty = " with changes" if result.git_dirty else ""
    commit = f"commit {result.git_commit[:12]}{dirty}" if result.git_commit else ""
    origin = ", ".join(filter(None, (compared, commit)))
    return [text for text in (words.advice(result), origin, words.device(result)) if text]
