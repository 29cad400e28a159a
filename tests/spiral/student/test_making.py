from __future__ import annotations

import pytest
from quick_runs import QUICK

from edgespiral import api
from edgespiral.core.errors import TrainingError

ASKED = {
    "target": QUICK,
    "pruner": "depgraph",
    "speedup": 1.6,
    "epochs": 1.0,
    "max_drop": 20.0,
    "learning_rate": 1e30,
}


@pytest.fixture(scope="module")
def diverged(wide, digits, tmp_path_factory):
    """The folder of a run whose training ended in numbers that are not finite, and its error."""
    out = tmp_path_factory.mktemp("diverged") / "run"
    with pytest.raises(TrainingError) as caught:
        api.compress(wide, digits, out=out, **ASKED)
    return out, caught


def test_a_loss_that_diverges_keeps_the_last_good_state(diverged):
    out, caught = diverged
    assert caught.match(r"no longer finite.*kept.*--learning-rate")
    assert (out / "turn-01" / "cut" / "model.safetensors").exists()


def test_a_run_resumed_after_its_cut_scores_nothing_again(
    diverged, wide, digits, tmp_path, stops_at
):
    with pytest.raises(KeyboardInterrupt):
        api.compress(wide, digits, out=tmp_path / "run", listener=stops_at("scoring"), **ASKED)
    out, _ = diverged
    with pytest.raises(TrainingError):
        api.compress(wide, digits, out=out, resume=True, listener=stops_at("scoring"), **ASKED)
