"""What the gate found, in words: shared by the table and every machine's format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.measurement import Verdict, doubts_about
from edgespiral.report.formats import ms, parts

if TYPE_CHECKING:
    from edgespiral.gate.records import BenchResult, CaseResult, Check

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
# A p99 that surely grew by more than this is told even where nothing limits it.
NOTABLE_TAIL_PERCENT = 10.0
NAMES = {"budget": "median", "median": "median", "tail": "p99"}


def signed(percent: float) -> str:
    """A change with its sign, to a tenth: +5.3, or with a minus sign."""
    return f"{percent:+.1f}".replace("-", MINUS)


def figure(check: Check) -> str:
    """A check's value and interval: `8.21 (8.12 to 8.34) ms` or `+5.3 (+4.1 to +6.4) %`."""
    bounds, unit = check.bounds, "ms" if check.kind == "budget" else "%"

    def write(value: float) -> str:
        return _ms_beside(value, check.limit) if unit == "ms" else signed(value)

    return f"{write(check.value)} ({write(bounds.low)} to {write(bounds.high)}) {unit}"


def _ms_beside(value: float, limit_ms: float | None) -> str:
    """Milliseconds with the digits that it takes to be on the side of a limit that they are on."""
    texts = [ms(value), *(f"{value:.{digits}g}" for digits in range(4, 18))]
    if limit_ms is None:
        return texts[0]
    return next((t for t in texts if (float(t) > limit_ms) == (value > limit_ms)), texts[-1])


def limit(check: Check) -> str:
    """What a check is held to, empty where it is only reported."""
    if check.limit is None:
        return ""
    return f"budget {check.limit:g} ms" if check.kind == "budget" else f"limit +{check.limit:g} %"


def line(check: Check) -> str:
    """A check on one line: `median +5.3 (+4.1 to +6.4) %, limit +2.5 %: missed`."""
    within = f", {limit(check)}" if check.limit is not None else ""
    verdict = "" if check.limit is None else f": {check.verdict}"
    return f"{NAMES[check.kind]} {figure(check)}{within}{verdict}{_drifted(check)}"


def _drifted(check: Check) -> str:
    if check.drift_percent is None:
        return ""
    way = "slower" if check.drift_percent > 0 else "faster"
    return f", as it became {abs(check.drift_percent):.0f} % {way} meanwhile"


def notable(check: Check) -> bool:
    """Whether a check is worth telling: it limits something, or the tail surely grew."""
    return check.limit is not None or (
        check.kind == "tail" and check.bounds.low > NOTABLE_TAIL_PERCENT
    )


def summary(case: CaseResult) -> str:
    """A model's outcome on one line."""
    if case.error is not None:
        return case.error
    lines = [line(check) for check in case.checks if notable(check)]
    lines = lines or [f"median {p50(case)} ms, no limit to judge by"]
    if case.measurement and case.measurement.parts:
        lines.append(f"the sum of {parts(case.measurement)}")
    return "; ".join([*lines, *(["new, nothing to compare with"] if case.is_new else [])])


def p50(case: CaseResult) -> str:
    """A model's median in ms; empty where there is none."""
    return ms(case.measurement.stats.p50_ms) if case.measurement else ""


def headline(result: BenchResult) -> str:
    """The suite's outcome: `detector on jetson: missed (1 of 3 models)`."""
    count = sum(case.verdict is result.verdict for case in result.cases)
    share = f"{count} of {len(result.cases)} model{'s' if len(result.cases) > 1 else ''}"
    free = sum(case.verdict is Verdict.MEASURED for case in result.cases)
    if free and result.verdict is Verdict.MET:
        share += f", {free} without a limit"
    return f"{result.suite} on {result.target}: {result.verdict} ({share})"


def advice(result: BenchResult) -> str:
    """What to do about the outcome, and what speaks against it; empty where nothing does."""
    is_open = result.verdict is Verdict.UNDECIDED
    undecided = "undecided: raise time_limit_s, quieten the device, or widen the tolerance"
    doubts = doubts_about(case.measurement for case in result.cases if case.measurement)
    return "; ".join([*([undecided] if is_open else []), *doubts])


def device(result: BenchResult) -> str:
    """Where it was measured, empty where no model was."""
    measured = [case.measurement for case in result.cases if case.measurement]
    if not measured:
        return ""
    about = measured[0].fingerprint
    return (
        f"{about.device}, {about.runtime} {about.runtime_version}, {about.provider}, "
        f"{about.precision}, threads: {about.threads}"
    )
