from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.core.errors import ModelError
from edgespiral.models.saved import trace
from edgespiral.prune.repeatable import check_repeatable


class Forgotten(nn.Module):
    """Dropout that was not told whether it trains."""

    def forward(self, x):
        return F.dropout(x, 0.5)


def test_random_outputs_are_refused_with_their_line():
    with pytest.raises(ModelError, match=r"random in evaluation, too: dropout at test_repeatable"):
        check_repeatable(trace(Forgotten()), torch.ones(1, 100))


def test_a_model_that_fails_is_told_in_one_line():
    model = trace(nn.Sequential(nn.Linear(4, 2)))
    with pytest.raises(ModelError, match=r"fails on an input of \(3,\)") as caught:
        check_repeatable(model, torch.ones(1, 3))
    assert "\n" not in str(caught.value)


def test_what_repeats_passes():
    check_repeatable(trace(nn.Sequential(nn.Linear(4, 2), nn.Dropout())), torch.ones(1, 4))
