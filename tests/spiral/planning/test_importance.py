from __future__ import annotations

import pytest
import torch

from edgespiral.data import load
from edgespiral.models import build
from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.planning.importance import Scorer
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    return PrunableModel.of(trace(build("resnet8", classes=10, input_shape=(1, 8, 8))), (1, 8, 8))


@pytest.mark.parametrize("criterion", ["fisher", "l1"])
def test_channels_and_branches_are_priced_in_one_unit(source, criterion):
    scorer = Scorer(criterion, load("digits").train, epochs=4.0, seed=0, task=CLASSIFICATION)
    first = scorer.importance(source, turn=1)
    assert set(first.channels) == {group.name for group in source.groups}
    assert set(first.branches) == {branch.name for branch in source.branches}
    assert all(loss > 0 for loss in first.branches.values())
    again = scorer.importance(source, turn=1)
    assert all(torch.equal(first.channels[n], again.channels[n]) for n in first.channels)
    assert first.branches == again.branches
