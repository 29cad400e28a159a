from __future__ import annotations

import torch
from torch import nn

from edgespiral.prune.engines.depgraph import DepGraphCutter
from edgespiral.prune.engines.trial import failed_trial
from edgespiral.prune.groups import find_groups


class OverChannels(nn.Module):
    """Takes a mean over the channels that Torch-Pruning says can go."""

    def __init__(self):
        super().__init__()
        self.wide, self.mix, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 4, 1), nn.Linear(4, 2)

    def forward(self, inputs):
        found = self.wide(inputs)
        return self.head((self.mix(found) + found.mean(1, keepdim=True)).mean((2, 3)))


def test_a_sound_cut_does_not_fail(residual, example):
    groups = find_groups(residual, example)
    assert failed_trial(DepGraphCutter(), residual, groups, example) is None


def test_statistics_over_channels_show(example):
    model = torch.fx.symbolic_trace(OverChannels()).eval()
    reason = failed_trial(DepGraphCutter(), model, find_groups(model, example), example)
    assert reason is not None
    assert "a trial cut of it fails (the cut and the masked model differ by" in reason
