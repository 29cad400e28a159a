from __future__ import annotations

import pytest
import torch
from torchvision.models import ShuffleNetV2

from edgespiral.core.errors import ModelError
from edgespiral.prune.engines.depgraph import DepGraphCutter
from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.engines.flow.rewrite import explicit
from edgespiral.prune.groups import find_groups


def test_removing_every_channel_of_a_group_is_refused(residual, example):
    groups = find_groups(residual, example)
    kept = {group.name: list(range(group.channels)) for group in groups} | {"stem": []}
    with pytest.raises(ModelError, match="stem: cannot remove every channel"):
        DepGraphCutter().cut(residual, example, groups, kept)


def test_whatever_torch_pruning_fails_with_is_one_quiet_line(capfd):
    example = torch.randn(1, 3, 64, 64)
    shuffled = ShuffleNetV2([2, 3, 1], [8, 16, 24, 32, 40], num_classes=5).eval()
    model = explicit(torch.fx.symbolic_trace(shuffled), example)
    groups = groups_by_flow(model, example)
    kept = {g.name: g.channels_of_units(range(1, g.units, 2)) for g in groups}
    with pytest.raises(ModelError, match=r"branch2\.5: cannot remove every") as caught:
        DepGraphCutter().cut(model, example, groups, kept)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
