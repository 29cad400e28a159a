from __future__ import annotations

import pytest
import torch

from edgespiral.core.batches import changed
from edgespiral.core.errors import RunFolderError
from edgespiral.data import load
from edgespiral.prune.scoring.reconstruct import Moments
from edgespiral.spiral.planning.importance import Importance, Scorer
from edgespiral.spiral.sharing.scores import kept_importance
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture
def scorer(digits):
    return Scorer("fisher", digits.train, 4.0, 0, CLASSIFICATION)


def test_scores_are_measured_once_and_read_back(searched, scorer, tmp_path):
    made = Importance(
        {"conv1": torch.rand(16)},
        {"layer1.0": 0.25},
        {"layer1.0.conv2": Moments(torch.rand(16), torch.rand(16, 16))},
    )
    first = kept_importance(tmp_path, scorer, searched, 1, lambda: made)
    again = kept_importance(tmp_path, scorer, searched, 1, lambda: pytest.fail("measured again"))
    assert first is made
    assert torch.equal(again.channels["conv1"], made.channels["conv1"])
    assert again.branches == made.branches
    moments = again.moments["layer1.0.conv2"]
    assert torch.equal(moments.covariance, made.moments["layer1.0.conv2"].covariance)


@pytest.mark.parametrize("other", [{"criterion": "l1"}, {"seed": 1}, {"epochs": 8.0}])
def test_another_way_to_score_is_another_file(searched, digits, scorer, tmp_path, other):
    made = Importance({"conv1": torch.rand(16)}, {}, {})
    kept_importance(tmp_path, scorer, searched, 1, lambda: made)
    given = {"criterion": "fisher", "epochs": 4.0, "seed": 0, **other}
    theirs = Scorer(train=digits.train, task=CLASSIFICATION, **given)
    new = Importance({"conv1": torch.zeros(16)}, {}, {})
    assert kept_importance(tmp_path, theirs, searched, 1, lambda: new) is new


def test_other_samples_and_views_of_them_are_scored_by_themselves(searched, tmp_path):
    """Two data sets of one length, and one with and without views, in one shared folder."""
    data = load("digits")
    mirrored = changed(data, lambda inputs, targets: (inputs.flip(3), targets))
    relabelled = changed(data, lambda inputs, targets: (inputs, 9 - targets))
    kinds = [data, data.unaugmented(), mirrored, relabelled]
    scorers = [Scorer("fisher", each.train, 4.0, 0, CLASSIFICATION) for each in kinds]
    scorers.append(Scorer("fisher", data.train, 4.0, 0, CLASSIFICATION, "tasks.py:other"))
    made = [Importance({"conv1": torch.rand(16)}, {}, {}) for _ in scorers]
    for scorer, own in zip(scorers, made, strict=True):
        assert kept_importance(tmp_path, scorer, searched, 1, lambda own=own: own) is own
    for scorer, own in zip(scorers, made, strict=True):
        again = kept_importance(tmp_path, scorer, searched, 1, lambda: pytest.fail("measured"))
        assert torch.equal(again.channels["conv1"], own.channels["conv1"])


def test_damage_is_told_with_the_file(searched, scorer, tmp_path):
    made = Importance({"conv1": torch.rand(16)}, {}, {})
    kept_importance(tmp_path, scorer, searched, 1, lambda: made)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"nothing")
    with pytest.raises(RunFolderError, match="the kept scores are damaged"):
        kept_importance(tmp_path, scorer, searched, 1, lambda: made)
