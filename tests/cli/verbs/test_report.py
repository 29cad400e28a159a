import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from example_records import NOON, measurement, ratio

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
from edgespiral.core.records.metric import Metric

Command = Callable[..., CompletedProcess[str]]


def on_host() -> OnDevice:
    return OnDevice(budget_ms=2.0, measurement=measurement(1.0), speedup=ratio(1.0, 0.0))


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
    assert (
        done.stderr
        == "error: run: the run is not finished; go on with --resume (see docs/artefacts.md)\n"
    )


def test_several_runs_are_compared(edgespiral: Command, tmp_path: Path, run: Journal) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "journal.jsonl").write_bytes(run.path.read_bytes())
    finish(run)
    done = edgespiral("report", "run", "other", "--html", "both.html")
    assert done.returncode == ExitCode.OK, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == ["run", "other"]
    assert "2 runs compared" in (tmp_path / "both.html").read_text("utf-8")
    twice = edgespiral("report", "run", "./run")
    assert twice.returncode == ExitCode.USAGE
    assert (
        twice.stderr == "error: RUN: a run is named twice; name each once (see docs/commands.md)\n"
    )
    (other / "journal.jsonl").write_bytes(b"")
    empty = edgespiral("report", "run", "other")
    assert empty.stderr.startswith("error: other: the journal holds no run; name the folder")
    gone = edgespiral("report", "run", "nowhere")
    assert gone.returncode == ExitCode.RUN_FOLDER
    assert gone.stderr.count("\n") == 1
