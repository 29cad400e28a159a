from __future__ import annotations

import pytest

from edgespiral import api
from edgespiral.core.errors import TrainingError

OPTIONS = {"speedup": 1.6, "epochs": 1.0, "max_drop": 20.0}


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
