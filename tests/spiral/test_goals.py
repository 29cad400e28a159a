"""Whole runs to other goals than a latency."""

from __future__ import annotations

from pathlib import Path

import pytest
from quick_runs import QUICK
from rich.console import Console

from edgespiral import api
from edgespiral.core.records.events import (
    Candidate,
    Outcome,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.footprint import MIB
from edgespiral.core.records.journal import read
from edgespiral.core.records.measurement import Verdict
from edgespiral.report.table import print_table


@pytest.fixture
def options(quick_options):
    """Of a run with another goal."""
    return {**quick_options, "speedup": None, "criterion": "l1"}


def test_all_budgets_hold_together(wide, digits, options, tmp_path, capsys):
    asked = {**options, "speedup": 1.3, "size_mib": 0.33, "parameters": "60%", "epochs": 0.25}
    asked |= {"memory_mib": 1000, "timed": "pipeline"}
    done = api.compress(wide, digits, out=tmp_path / "run", **asked)
    result, events = done.result, read(tmp_path / "run" / "journal.jsonl")
    assert result.outcome is Outcome.MET
    size_bytes = (tmp_path / "run" / "model.onnx").stat().st_size
    assert size_bytes == result.student.size_bytes <= 0.33 * MIB
    share = result.student.parameter_count / result.teacher.parameter_count
    assert 0.45 <= share <= 0.6
    assert sum(p.numel() for p in done.model.parameters()) == result.student.parameter_count
    names = ["latency", "whole frame", "memory", "size", "parameters", "accuracy"]
    assert [budget.name for budget in result.budgets] == names
    assert {budget.verdict.value for budget in result.budgets} == {"met"}
    left, frame, memory, _, parameters, _ = result.budgets
    [device] = result.devices
    assert [stage.stage for stage in device.stages.each] == ["preprocess", "postprocess"]
    assert left.limit + device.stages.most_ms == pytest.approx(frame.limit)
    around_ms = device.stages.sum.p50_ms
    assert device.whole_before.p50_ms > device.teacher.stats.p50_ms + 0.5 * around_ms
    assert frame.value == device.whole_after.p50_ms
    assert result.devices[0].memory is not None
    assert memory.value == result.devices[0].memory.peak_mib
    assert 0 < memory.value < 1000 == memory.limit
    assert parameters.margin == pytest.approx(100 * (1 - share / 0.6))
    [turn] = [event for event in events if isinstance(event, TurnFinished)]
    cut = [e for e in events if isinstance(e, Candidate) and e.widths == turn.widths][-1]
    assert cut.footprint is not None
    assert cut.footprint.parameter_count == result.student.parameter_count, "known before training"
    print_table(Console(width=80), events)
    printed = capsys.readouterr().out
    assert "budget parameters:" in printed
    assert "a frame on quick: preprocess" in " ".join(printed.split())


def test_a_size_below_the_smallest_cut_is_told_before_any_training(wide, digits, options, tmp_path):
    done = api.compress(wide, digits, out=tmp_path / "run", parameters=1000, **options)
    assert done.result.outcome is Outcome.UNREACHABLE
    assert "1000 parameters is out of reach: the smallest cut of this model has" in (
        done.result.message
    )
    assert done.result.turns == 0


def test_less_memory_than_the_runtime_takes_is_told_before_any_training(
    wide, digits, options, tmp_path
):
    asked = {**options, "speedup": 1.3}
    done = api.compress(wide, digits, out=tmp_path / "run", memory_mib=5, **asked)
    assert (done.result.outcome, done.result.turns) == (Outcome.UNREACHABLE, 0)
    assert "5 MiB of memory is out of reach: with a tiny model the runtime takes" in (
        done.result.message
    )
    [memory] = [budget for budget in done.result.budgets if budget.name == "memory"]
    assert (memory.limit, memory.verdict) == (5, Verdict.MISSED)
    assert memory.margin < 0


def test_a_frame_whose_other_stages_take_it_all_is_told_before_any_training(
    wide, digits, options, tmp_path
):
    asked = {**options, "latency_ms": 0.001, "timed": "pipeline"}
    done = api.compress(wide, digits, out=tmp_path / "run", **asked)
    assert (done.result.outcome, done.result.turns) == (Outcome.UNREACHABLE, 0)
    assert "what runs before and after the network takes" in done.result.message
    assert "nothing is left for the network" in done.result.message


def test_the_fastest_that_holds_is_found_without_a_budget(wide, digits, options, tmp_path):
    asked = {**options, "max_drop": 15.0, "turns": 2}
    done = api.compress(wide, digits, out=tmp_path / "run", **asked)
    events = read(tmp_path / "run" / "journal.jsonl")
    students = [event for event in events if isinstance(event, TurnFinished)]
    assert 1 <= len(students) <= 2
    before = done.result.teacher.validation_score
    held = [t for t in students if before - t.student.validation_score <= 15.0]
    if held:
        fastest = max(held, key=lambda turn: turn.devices[0].speedup.value)
        assert (done.result.outcome, done.result.best_turn) == (Outcome.MET, fastest.turn)
    else:
        assert (done.result.outcome, done.result.best_turn) == (Outcome.SCORE_FLOOR, 0)
    planned = [event for event in events if isinstance(event, TurnPlanned)]
    assert planned[0].expected_lost is None
    assert [budget.name for budget in done.result.budgets] == ["accuracy"]
    again = api.compress(wide, digits, out=tmp_path / "run", resume=True, **asked)
    assert again.result == done.result


@pytest.fixture
def coarse_options(options, tmp_path):
    """Of a run in steps of 32 channels, so that few cuts are to be had, where next to none holds.

    It is not trained long enough for that.
    """
    coarse = tmp_path / "coarse.toml"
    coarse.write_text(Path(QUICK).read_text().replace("multiple = 16", "multiple = 32"))
    asked = {"max_drop": 0.01, "epochs": 0.02, "allocation": "uniform", "target": str(coarse)}
    return options | asked


def test_a_cut_below_the_floor_is_not_trained_again_half_way_back(
    wide, digits, coarse_options, tmp_path
):
    asked = coarse_options | {"parameters": 30_000}
    done = api.compress(wide, digits, out=tmp_path / "run", **asked)
    assert (done.result.outcome, done.result.best_turn) == (Outcome.SCORE_FLOOR, 0)
    assert "no turn is within it" in done.result.message
    assert done.result.turns == 1


def test_no_cut_is_trained_twice_to_find_the_smallest(wide, digits, coarse_options, tmp_path):
    asked = coarse_options | {"smallest": True}
    api.compress(wide, digits, out=tmp_path / "run", **asked)
    turns = [e for e in read(tmp_path / "run" / "journal.jsonl") if isinstance(e, TurnFinished)]
    widths = [tuple(sorted(turn.widths.items())) for turn in turns]
    assert 0 < len(set(widths)) == len(widths)


def test_the_smallest_that_holds_is_aimed_at_by_size(wide, digits, options, tmp_path):
    asked = {**options, "max_drop": 30.0, "turns": 1, "smallest": True}
    done = api.compress(wide, digits, out=tmp_path / "run", **asked)
    [first] = [e for e in read(tmp_path / "run" / "journal.jsonl") if e.kind == "turn-finished"]
    share = first.student.size_bytes / done.result.teacher.size_bytes
    assert 0.4 <= share <= 0.51, "the first student is aimed at half the teacher's size"
