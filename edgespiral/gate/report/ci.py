"""The gate's outcome in the formats of GitHub and GitLab."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.text import printable
from edgespiral.gate.report import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.gate.records import BenchResult, CaseResult

# Name of the annotation command on GitHub, and severity in GitLab's code quality.
LEVELS = {
    Verdict.MISSED: ("error", "critical"),
    Verdict.ERROR: ("error", "major"),
    Verdict.UNDECIDED: ("warning", "minor"),
    Verdict.MET: ("notice", "info"),
    Verdict.MEASURED: ("notice", "info"),
}


def render_annotations(result: BenchResult, file: str) -> str:
    """GitHub's workflow commands, one a line, for each model that has something to tell.

    Args:
        result: the outcome.
        file: the path in the repository that the annotations are shown at: the suite's.
    """
    return "".join(
        f"::{LEVELS[case.verdict][0]} file={_escaped(file, ',:')},"
        f"title={_escaped(f'{case.name}: {case.verdict}', ',:')}"
        f"::{_escaped(words.summary(case))}\n"
        for case in _telling(result)
    )


def render_code_quality(result: BenchResult, file: str) -> str:
    """GitLab's code quality report: a list with an issue for each model that has one.

    Args:
        result: the outcome.
        file: the path in the repository that the issues are shown at: the suite's.
    """
    issues = [
        {
            "description": printable(f"{case.name}: {words.summary(case)}"),
            "check_name": f"edgespiral-{case.verdict}",
            "fingerprint": _identity(result.suite, result.target, case.name, case.verdict),
            "severity": LEVELS[case.verdict][1],
            "location": {"path": printable(file), "lines": {"begin": 1}},
        }
        for case in _telling(result)
    ]
    return json.dumps(issues, indent=1) + "\n"


def render_metrics(result: BenchResult) -> str:
    """OpenMetrics text, which GitLab shows as a merge request's metrics report."""
    lines = []
    for case in result.cases:
        labels = f'{{suite="{_label(result.suite)}",model="{_label(case.name)}"}}'
        lines += [f"edgespiral_{name}{labels} {value:.6g}" for name, value in _metrics(case)]
    return "\n".join([*sorted(lines), "# EOF"]) + "\n"


def _metrics(case: CaseResult) -> Iterator[tuple[str, float]]:
    if case.measurement is None:
        return
    stats = case.measurement.stats
    for name in ("p50_ms", "p90_ms", "p99_ms"):
        value = getattr(stats, name)
        if value is not None:
            yield name, value
    yield from ((f"{c.kind}_change_percent", c.value) for c in case.checks if c.kind != "budget")


def _telling(result: BenchResult) -> list[CaseResult]:
    """Models that did not pass, and those of which something is told that nothing limits."""
    quiet = (Verdict.MET, Verdict.MEASURED)
    return [
        case
        for case in result.cases
        if case.verdict not in quiet
        or any(check.limit is None and words.notable(check) for check in case.checks)
    ]


def _escaped(text: str, more: str = "") -> str:
    text = printable(text, keep="\r\n")
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _label(text: str) -> str:
    return printable(text).replace("\\", r"\\").replace('"', r"\"")


def _identity(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
