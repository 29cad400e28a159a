from __future__ import annotations

import pytest

from edgespiral import api
from edgespiral.core.errors import TrainingError
from edgespiral.core.records.events import TurnFinished
from edgespiral.core.records.journal import read
from edgespiral.core.system.files import sha256_file
from edgespiral.spiral.context import Stopwatch

OPTIONS = {"speedup": 1.6, "epochs": 1.0, "max_drop": 20.0}


def test_a_turn_is_written_down_with_its_files_and_seconds(finished):
    events = read(finished.folder / "journal.jsonl")
    turn = [event for event in events if isinstance(event, TurnFinished)][-1]
    assert set(turn.files) == {"model.onnx", "model.py", "model.safetensors"}
    for name, digest in turn.files.items():
        assert sha256_file(finished.folder / f"turn-{turn.turn:02d}" / name) == digest
        assert sha256_file(finished.folder / name) == digest
    assert {"plan", "cut", "distil", "export", "score", "measure"} == set(turn.seconds)
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


def test_a_loss_that_diverges_keeps_the_last_good_state(teacher, digits, tmp_path):
    with pytest.raises(TrainingError, match=r"no longer finite.*kept.*--learning-rate"):
        api.compress(teacher, digits, out=tmp_path / "run", **OPTIONS, learning_rate=1e30)
    assert (tmp_path / "run" / "turn-01" / "cut" / "model.safetensors").exists()


def test_a_run_resumed_after_its_cut_scores_nothing_again(teacher, digits, tmp_path, stops_at):
    asked = {**OPTIONS, "learning_rate": 1e30}
    with pytest.raises(KeyboardInterrupt):
        api.compress(
            teacher, digits, out=tmp_path / "stopped", listener=stops_at("scoring"), **asked
        )
    with pytest.raises(TrainingError):
        api.compress(teacher, digits, out=tmp_path / "run", **asked)
    with pytest.raises(TrainingError):
        api.compress(
            teacher,
            digits,
            out=tmp_path / "run",
            resume=True,
            listener=stops_at("scoring"),
            **asked,
        )
