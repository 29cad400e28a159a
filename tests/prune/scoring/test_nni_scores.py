from __future__ import annotations

import torch

from edgespiral.prune.groups import find_groups
from edgespiral.prune.scoring.nni_scores import layer_metrics


def test_metrics_come_from_nni_and_leave_the_model_unwrapped(residual, example):
    groups = find_groups(residual, example)
    metrics = layer_metrics("L2NormPruner", residual, groups)
    expected = residual.stem.weight.detach().flatten(1).norm(dim=1)
    assert torch.allclose(metrics["stem"], expected, rtol=1e-5)
    assert set(metrics) == {
        "stem", "block1.conv1", "block1.conv2", "block2.conv1", "block2.conv2",
    }  # fmt: skip
    assert type(residual.stem) is torch.nn.Conv2d
