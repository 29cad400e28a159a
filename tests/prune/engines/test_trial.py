from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.core.system.analysis_limit import analysing
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


class Unable(DepGraphCutter):
    """Cuts nothing."""

    def cut(self, *_):
        raise ModelError("cannot run")


def test_a_sound_cut_does_not_fail(residual, example):
    groups = find_groups(residual, example)
    assert failed_trial(DepGraphCutter(), residual, groups, example) is None


def test_time_that_is_over_is_no_fault_of_the_groups(residual, example, monkeypatch):
    groups = find_groups(residual, example)
    monkeypatch.setenv("EDGESPIRAL_ANALYSIS_SECONDS", "1e-6")
    with analysing(), pytest.raises(ModelError, match="cannot run"):
        failed_trial(Unable(), residual, groups, example)
    assert "cannot run" in failed_trial(Unable(), residual, groups, example)


def test_statistics_over_channels_show(example):
    model = torch.fx.symbolic_trace(OverChannels()).eval()
    reason = failed_trial(DepGraphCutter(), model, find_groups(model, example), example)
    assert reason is not None
    assert "a trial cut of it fails (the cut and the masked model differ by" in reason
