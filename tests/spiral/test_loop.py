"""How runs end, for real: ONNX Runtime in its own process, digits, NNI, distillation."""

from __future__ import annotations

import re

import pytest
import torch
from quick_runs import PLAIN, QUICK

from edgespiral import api
from edgespiral.core.errors import ExitCode
from edgespiral.core.records.events import Baseline, Outcome, TurnFinished
from edgespiral.core.records.journal import read
from edgespiral.core.records.measurement import Verdict


def test_widths_were_fixed_by_measurement_before_training(finished):
    kinds = [event.kind for event in read(finished.folder / "journal.jsonl")]
    assert kinds[:2] == ["run-started", "baseline"]
    assert kinds[-2:] == ["turn-finished", "run-finished"]
    assert kinds.index("turn-planned") < kinds.index("turn-finished")
    assert kinds.count("candidate") >= 5


def test_a_teacher_that_meets_the_budget_is_left_as_it_is(teacher, digits, tmp_path):
    done = api.compress(teacher, digits, out=tmp_path / "run", target=QUICK, latency_ms=1000.0)
    assert done.result.outcome is Outcome.ALREADY_MET
    assert done.result.exit_code == ExitCode.ALREADY_MET
    assert done.result.turns == 0
    inputs = torch.randn(2, 1, 8, 8)
    assert torch.allclose(done.model(inputs), teacher.eval()(inputs), atol=1e-5)


def test_a_budget_out_of_reach_ends_before_training(teacher, digits, tmp_path):
    done = api.compress(teacher, digits, out=tmp_path / "run", target=QUICK, latency_ms=1e-4)
    assert done.result.outcome is Outcome.UNREACHABLE
    assert done.result.exit_code == ExitCode.UNREACHABLE
    [said] = re.findall(
        r"the fastest cut of this model takes ([\d.]+) ms, \S+ % more: ([\d.]+)x$",
        done.result.message,
    )
    fastest_ms, speedup = map(float, said)
    teacher_ms = done.result.devices[0].teacher.stats.p50_ms
    assert speedup == pytest.approx(teacher_ms / fastest_ms, rel=0.02)
    assert not [e for e in read(tmp_path / "run" / "journal.jsonl") if isinstance(e, TurnFinished)]
    assert (tmp_path / "run" / "model.onnx").exists()


def test_what_only_the_allocation_cannot_reach_is_told_so(teacher, digits, tmp_path):
    done = api.compress(
        teacher,
        digits,
        out=tmp_path / "run",
        target=QUICK,
        speedup=3.5,
        epochs=0.1,
        allocation="uniform",
    )
    assert done.result.outcome is Outcome.UNREACHABLE
    assert "the fastest that --allocation uniform allows (latency allows" in done.result.message


def test_the_accuracy_floor_stops_a_run_with_the_best_turn_within_it(teacher, digits, tmp_path):
    asked = {"speedup": 1.3, "epochs": 0.1, "max_drop": 1e-6, "learning_rate": 1.0, "turns": 1}
    done = api.compress(teacher, digits, out=tmp_path / "run", **PLAIN | asked)
    events = read(tmp_path / "run" / "journal.jsonl")
    (baseline,) = [event for event in events if isinstance(event, Baseline)]
    floor = baseline.teacher.validation_score - 1e-6
    if any(t.student.validation_score >= floor and t.verdict is Verdict.MET
           for t in events if isinstance(t, TurnFinished)):  # fmt: skip
        pytest.fail("a tenth of an epoch was enough; make the test harder")
    assert done.result.outcome is Outcome.SCORE_FLOOR
    assert done.result.exit_code == ExitCode.SCORE_FLOOR
