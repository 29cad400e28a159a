from __future__ import annotations

import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.engines.flow.proven import proven_groups


class Counting(nn.Module):
    """Counts elements of all samples, so that it does something else once a layer is narrower."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        hidden = self.first(x)
        return self.third(self.second(hidden).relu()) * (hidden.numel() // 8)


def test_a_group_that_fails_on_trial_is_left_out_and_told():
    torch.manual_seed(0)
    _, survey = proven_groups(trace(Counting()), torch.randn(1, 5))
    assert [group.name for group in survey.groups] == ["second"]
    assert "a trial cut of it fails" in survey.uncuttable["first"][1]
    assert survey.uncuttable["third"] == (3, "reach the output (output)")
