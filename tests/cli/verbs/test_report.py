import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from edgespiral.core.errors import ExitCode
from edgespiral.core.records.events import (
    Baseline,
    ModelFacts,
    OnDevice,
    Outcome,
    RunFinished,
    RunStarted,
)
from edgespiral.core.records.journal import Journal
from edgespiral.core.records.measurement import (
    Fingerprint,
    Interval,
    LatencyStats,
    Measurement,
    Ratio,
)
from edgespiral.core.records.metric import Metric

Command = Callable[..., CompletedProcess[str]]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def latency() -> Measurement:
    names = ("device", "architecture", "operating_system", "runtime", "runtime_version")
    around = Interval(low=0.99, high=1.01)
    return Measurement(
        target="host-cpu",
        model_sha256="t" * 64,
        stats=LatencyStats(count=3, p50_ms=1.0, p50_ci95_ms=around, p90_ms=None, p99_ms=None),
        rounds_ms=((0.99, 1.0, 1.01),),
        warmup_count=1,
        fingerprint=Fingerprint(
            **dict.fromkeys(names, "x"), cores=2, provider="cpu", threads=1, precision="fp32"
        ),
        measured_at=NOON,
    )


def on_host() -> OnDevice:
    unit = Ratio(value=1, ci95=Interval(low=1, high=1))
    return OnDevice(budget_ms=2.0, measurement=latency(), speedup=unit)


@pytest.fixture
def run(tmp_path: Path) -> Journal:
    """A run whose teacher met its budget, but for the closing record."""
    (tmp_path / "run").mkdir()
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    plan = {"model": "net", "data": "digits", "target": "host-cpu", "max_drop": 2.0}
    journal.append(
        RunStarted(
            plan=plan | {"latency_ms": 2.0, "speedup": None},
            plan_sha256="p" * 64,
            metric=Metric(name="accuracy"),
            teacher_sha256="t" * 64,
            versions={"python": "3"},
            command="edgespiral compress net",
            started_at=NOON,
        )
    )
    facts = ModelFacts(validation_score=97.0, parameter_count=1000, size_bytes=4000)
    journal.append(Baseline(teacher=facts, widths={"conv": 8}, devices=(on_host(),)))
    return journal


def finish(journal: Journal) -> None:
    journal.append(
        RunFinished(
            outcome=Outcome.ALREADY_MET,
            message="the teacher already meets 2 ms",
            best_turn=0,
            teacher_test_score=96.0,
            student_test_score=96.0,
            devices=(on_host(),),
            finished_at=NOON,
        )
    )


def test_a_run_is_shown_as_a_table(edgespiral: Command, run: Journal) -> None:
    finish(run)
    done = edgespiral("report", "run")
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert "already-met: the teacher already meets 2 ms" in done.stdout


def test_a_run_is_shown_as_json_for_programs(edgespiral: Command, run: Journal) -> None:
    finish(run)
    shown = json.loads(edgespiral("report", "run", "--json").stdout)
    assert (shown["schema_version"], shown["exit_code"]) == (2, ExitCode.ALREADY_MET)


def test_a_run_is_written_as_a_page(edgespiral: Command, run: Journal, tmp_path: Path) -> None:
    done = edgespiral("report", "run", "--html", "page.html")
    assert done.returncode == ExitCode.OK
    assert "report: page.html" in done.stderr
    assert "not finished" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_an_unfinished_run_has_no_json(edgespiral: Command, run: Journal) -> None:
    done = edgespiral("report", "run", "--json")
    assert done.returncode == ExitCode.RUN_FOLDER
    assert done.stderr == "error: the run is not finished; go on with --resume\n"
