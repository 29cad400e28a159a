from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgespiral import api
from edgespiral.core.errors import TrainingError
from edgespiral.core.files import sha256_file
from edgespiral.core.journal import read
from edgespiral.core.records import TurnFinished
from edgespiral.measure.engine_files import written_record
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.profile import TargetProfile, load_profile
from edgespiral.spiral.context import (
    Stopwatch,
)
from edgespiral.spiral.turn import (
    fetch_engine,
)

STAND_IN = Path(__file__).parents[1] / "stand_ins" / "trtexec.py"
OPTIONS = {"speedup": 1.6, "epochs": 1.0, "max_drop": 20.0}


def test_a_turn_is_written_down_with_its_files_and_seconds(finished):
    events = read(finished.folder / "journal.jsonl")
    turn = [event for event in events if isinstance(event, TurnFinished)][-1]
    assert set(turn.files) == {"model.onnx", "model.py", "model.safetensors"}
    for name, digest in turn.files.items():
        assert sha256_file(finished.folder / f"turn-{turn.turn:02d}" / name) == digest
        assert sha256_file(finished.folder / name) == digest
    assert {"plan", "cut", "distil", "export", "measure"} == set(turn.seconds)
    assert turn.pruner == "nni"
    assert (turn.parent, turn.epochs) == (turn.turn - 1, 1.25)


def test_a_stopwatch_adds_up_and_counts_what_fails():
    watch = Stopwatch()
    with watch.timing("plan"):
        pass
    first = watch.seconds["plan"]
    with pytest.raises(KeyError), watch.timing("plan"):
        raise KeyError
    assert watch.seconds["plan"] > first >= 0


def test_what_a_device_builds_comes_back_beside_the_model(finished, tmp_path):
    """The stand-in for trtexec builds here; a whole run is in test_run_over_ssh.py."""
    program = tmp_path / "trtexec"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} 10.3.0 "$@"\n')
    program.chmod(0o755)
    shutil.copy(finished.folder / "model.onnx", tmp_path)
    sections = {
        "runtime": {"kind": "tensorrt", "trtexec": str(program)},
        "transport": {"kind": "local"},
    }
    target = TargetProfile.model_validate({"schema": 1, "name": "here", **sections})
    # The first of the run's targets builds none.
    with Fleet.of([load_profile("host-cpu"), target]) as fleet:
        facts = fetch_engine(SimpleNamespace(fleet=fleet, out=tmp_path))
    assert facts == written_record(tmp_path / "model.engine", "tensorrt")
    assert facts.model_sha256 == sha256_file(tmp_path / "model.onnx")


def test_a_device_that_builds_no_engine_leaves_none(finished):
    assert not list(finished.folder.glob("*.engine*"))
    assert read(finished.folder / "journal.jsonl")[-1].engine is None


def test_a_loss_that_diverges_keeps_the_last_good_state(teacher, digits, tmp_path):
    with pytest.raises(TrainingError, match=r"no longer finite.*kept.*--learning-rate"):
        api.compress(teacher, digits, out=tmp_path / "run", **OPTIONS, learning_rate=1e30)
    assert (tmp_path / "run" / "turn-01" / "cut" / "model.safetensors").exists()
