from __future__ import annotations

import pytest

from edgespiral.core.records.events import TurnFinished
from edgespiral.core.records.journal import read
from edgespiral.core.system.files import sha256_file
from edgespiral.spiral.context import Stopwatch


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
