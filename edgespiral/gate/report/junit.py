"""The gate's outcome as JUnit XML, which every CI system shows as tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, Skipped, SystemOut, TestCase, TestSuite

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.text import printable
from edgespiral.gate.report import words

if TYPE_CHECKING:
    from junitparser.junitparser import FinalResult

    from edgespiral.gate.records import BenchResult, CaseResult

# An undecided model is no failed one, and no passed one either.
RESULTS: dict[Verdict, type[FinalResult]] = {
    Verdict.MISSED: Failure,
    Verdict.ERROR: Error,
    Verdict.UNDECIDED: Skipped,
}
# What XML 1.0 cannot hold.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(result: BenchResult) -> str:
    """An XML document with a test case for each model: failure, error, skipped (undecided) or none.

    The suite's properties tell target, device and commit; a case's output has its checks.
    """
    suite = TestSuite(_clean(f"edgespiral {result.suite}"))
    suite.timestamp = result.finished_at.isoformat()
    facts = {
        "target": result.target,
        "device": words.device(result),
        "commit": result.git_commit or "",
    }
    for name, value in facts.items():
        suite.add_property(name, _clean(value))
    suite.add_testcases([_case(result, case) for case in result.cases])
    document = JUnitXml("edgespiral bench")
    document.add_testsuite(suite)
    document.update_statistics()
    return f'<?xml version="1.0" encoding="utf-8"?>\n{document.tostring().decode()}\n'


def _case(result: BenchResult, case: CaseResult) -> TestCase:
    test = TestCase(_clean(case.name), _clean(f"{result.suite}.{result.target}"), case.seconds)
    kind = RESULTS.get(case.verdict)
    if kind is not None:
        test.result = [kind(_clean(words.summary(case)), str(case.verdict))]
    lines = [words.line(check) for check in case.checks]
    if case.measurement is not None:
        lines.insert(0, f"p50 {words.p50(case)} ms, {case.measurement.stats.count} samples")
        test.append(SystemOut(_clean("\n".join(lines))))
    return test


def _clean(text: str) -> str:
    return printable(FORBIDDEN.sub("?", text), keep="\t\n")
