"""The gate's outcome as Markdown: for a comment on a merge request, or a step summary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.text import printable
from edgespiral.gate.report import words
from edgespiral.report.formats import ms

if TYPE_CHECKING:
    from edgespiral.gate.records import BenchResult, CaseResult, Check

# A bot finds its comment of last time by this line, and writes over it.
MARK = "<!-- edgespiral bench -->"
SIGNS = {
    Verdict.MET: "\N{WHITE HEAVY CHECK MARK}",
    Verdict.MISSED: "\N{CROSS MARK}",
    Verdict.ERROR: "\N{CROSS MARK}",
    Verdict.UNDECIDED: "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}",
    Verdict.MEASURED: "",
}
HEAD = "| model | p50 ms | budget | median, new over old | p99, new over old | verdict |"
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def render_markdown(result: BenchResult) -> str:
    """A headline, a row for each model, the errors, and where it was measured."""
    errors = [f"- {_plain(case.name)}: {_plain(case.error)}" for case in result.cases if case.error]
    parts = [
        f"{MARK}\n### {SIGNS[result.verdict]} {_plain(words.headline(result))}".rstrip(),
        "\n".join([HEAD, "| --- | ---: | --- | --- | --- | --- |", *map(_row, result.cases)]),
        "\n".join(errors),
        _plain(words.advice(result)),
        f"<sub>{_plain(_origin(result))}</sub>",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _row(case: CaseResult) -> str:
    by_kind = {check.kind: _cell(check) for check in case.checks}
    cells = [
        _plain(case.name),
        words.p50(case),
        *(by_kind.get(kind, "") for kind in ("budget", "median", "tail")),
        f"{SIGNS[case.verdict]} {case.verdict}".strip(),
    ]
    return f"| {' | '.join(cells)} |"


def _cell(check: Check) -> str:
    if check.kind == "budget" and check.limit is not None:
        low, high = ms(check.bounds.low), ms(check.bounds.high)
        return f"{check.limit:g} ms ({low} to {high}): {check.verdict}"
    text = words.figure(check)
    return f"**{text}**" if check.verdict is Verdict.MISSED else text


def _origin(result: BenchResult) -> str:
    against = sorted({case.reference.label for case in result.cases if case.reference})
    compared = f"compared with {', '.join(against)}" if against else ""
    commit = f"commit {result.git_commit[:12]}" if result.git_commit else ""
    when = result.finished_at.strftime("%Y-%m-%d %H:%M UTC")
    return ", ".join(filter(None, (compared, commit, words.device(result), when)))


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line."""
    return SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))
