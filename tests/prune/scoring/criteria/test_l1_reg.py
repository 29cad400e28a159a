from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.core.errors import ModelError
from edgespiral.models.saved import trace
from edgespiral.prune.groups import find_groups
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.tasks.classification import CLASSIFICATION


def test_l1_reg_sums_the_scales_of_the_coupled_batch_norms(residual, example):
    groups = find_groups(residual, example)
    found = CRITERIA.get("l1-reg").score(
        residual, groups, Evidence([], losses=CLASSIFICATION.sample_losses)
    )
    norms = [residual.get_submodule(name) for name in ("block1.bn2", "block2.bn2")]
    expected = sum(norm.weight.detach().abs() for norm in norms)
    assert torch.allclose(found["stem"], expected / expected.mean())
    inner = residual.get_submodule("block1.bn1").weight.detach().abs()
    assert torch.allclose(found["block1.conv1"], inner / inner.mean())


def test_l1_reg_follows_channels_through_a_concatenation():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1)
            self.norm, self.head = nn.BatchNorm2d(10), nn.Conv2d(10, 2, 1)

        def forward(self, inputs):
            both = torch.cat([self.left(inputs), self.right(inputs)], 1)
            return self.head(F.relu(self.norm(both))).mean((2, 3))

    model = trace(Joined())
    with torch.no_grad():
        model.norm.weight.copy_(torch.arange(10) - 5.0)
    scores = CRITERIA.get("l1-reg").score(
        model,
        find_groups(model, torch.zeros(1, 3, 4, 4)),
        Evidence([], losses=CLASSIFICATION.sample_losses),
    )
    assert {name: (s * 4 / s.max()).tolist() for name, s in scores.items()} == {
        "left": pytest.approx([4.0, 3.2, 2.4, 1.6]),
        "right": pytest.approx([1.0, 0.0, 1.0, 2.0, 3.0, 4.0]),
    }


def test_l1_reg_needs_batch_norm_in_every_group(concatenated, residual, example):
    groups = find_groups(concatenated, example)
    with pytest.raises(ModelError, match="depthwise: l1-reg reads scaling factors of batch norm"):
        CRITERIA.get("l1-reg").check(concatenated, groups)
    CRITERIA.get("fisher").check(concatenated, groups)
    CRITERIA.get("l1-reg").check(residual, find_groups(residual, example))
