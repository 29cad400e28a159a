from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import edgespiral
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


def test_little_that_is_random_is_refused_as_such():
    class Jittered(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x) * 1e-4

    with pytest.raises(ModelError, match="random in evaluation, too: randn_like at"):
        check_repeatable(trace(Jittered(), torch.ones(2, 3)), torch.ones(1, 3))


def test_a_model_that_changes_its_input_repeats():
    class Scaling(nn.Module):
        def __init__(self):
            super().__init__()
            self.inlet, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            x.mul_(2.0)
            return self.head(self.inlet(x.view(-1, 4)).relu())

    torch.manual_seed(0)
    model, example = Scaling(), torch.randn(3, 4)
    small = edgespiral.cut(model, example, widths={"inlet": 8})
    torch.testing.assert_close(small(example.clone()), model(example.clone()))
    before = example.clone()
    small(example)
    assert torch.equal(example, before)


def test_a_model_that_fails_is_told_in_one_line():
    model = trace(nn.Sequential(nn.Linear(4, 2)))
    with pytest.raises(ModelError, match=r"fails on an input of \(3,\)") as caught:
        check_repeatable(model, torch.ones(1, 3))
    assert "\n" not in str(caught.value)


def test_what_repeats_passes():
    check_repeatable(trace(nn.Sequential(nn.Linear(4, 2), nn.Dropout())), torch.ones(1, 4))
