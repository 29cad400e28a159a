import example_records
import pytest
from example_records import NOON

from edgespiral.core.records.measurement import Interval, Measurement, Verdict
from edgespiral.gate.records import BenchResult, CaseResult, Check, Reference, gravest


def measurement(p50_ms: float, sha256: str) -> Measurement:
    rounds_ms = ((p50_ms,) * 25,) * 20
    return example_records.measurement(p50_ms, sha256, target="orin", rounds_ms=rounds_ms)


def check(kind: str, value: float, half: float, limit: float | None) -> Check:
    bounds = Interval(low=value - half, high=value + half, confidence=0.998)
    verdict = Verdict.MEASURED
    if limit is not None:
        verdict = Verdict.UNDECIDED if bounds.high > limit else Verdict.MET
        verdict = Verdict.MISSED if bounds.low > limit else verdict
    return Check.model_validate(
        {"kind": kind, "verdict": verdict, "value": value, "bounds": bounds, "limit": limit}
    )


def case(name: str, *checks: Check) -> CaseResult:
    return CaseResult(
        name=name,
        model=f"models/{name}.onnx",
        verdict=gravest([one.verdict for one in checks] or [Verdict.MEASURED]),
        measurement=measurement(1.05, "n" * 64),
        processes=(20,),
        reference=Reference(
            label="main", measurement=measurement(1.0, "o" * 64), processes=(20,), paired=True
        ),
        checks=checks,
        seconds=3.21,
    )


def bench(*cases: CaseResult) -> BenchResult:
    return BenchResult(
        suite="detectors",
        target="orin",
        verdict=gravest([case.verdict for case in cases]),
        cases=cases,
        git_commit="0123456789abcdef",
        git_dirty=True,
        versions={"edgespiral": "0.1.0"},
        command="edgespiral bench detectors.toml",
        finished_at=NOON,
    )


@pytest.fixture
def mixed_bench() -> BenchResult:
    """A suite in which each verdict occurs once."""
    failed = CaseResult(
        name="broken <x>",
        model="models/x.onnx",
        verdict=Verdict.ERROR,
        error="x.onnx: cannot be loaded: | bad, 100 %",
        seconds=0.5,
    )
    return bench(
        case("same", check("budget", 1.05, 0.01, 8), check("median", -0.2, 0.9, 2.5)),
        case("slow", check("median", 6.0, 1.0, 2.5), check("tail", 35.0, 10.0, None)),
        case("open", check("median", 2.0, 1.0, 2.5), check("tail", 1.0, 5.0, None)),
        failed,
        case("alone"),
    )


@pytest.fixture
def good_bench() -> BenchResult:
    """A suite whose only model passed."""
    return bench(case("same", check("median", -0.2, 0.9, 2.5)))
