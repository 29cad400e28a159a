from __future__ import annotations

from edgespiral.prune.cuttable_share import cuttable_share
from edgespiral.prune.groups import find_groups


def test_it_counts_what_groups_govern(residual, example):
    groups = find_groups(residual, example)
    share = cuttable_share(residual, groups)
    # Five outputs of the head stay, and all parameters but its biases touch a group.
    assert (share.channels, share.cuttable_channels) == (16 + 24 + 16 + 8 + 16 + 5, 80)
    assert share.parameters == sum(p.numel() for p in residual.parameters())
    assert share.parameters - share.cuttable_parameters == 0


def test_without_groups_nothing_is_cuttable(residual):
    share = cuttable_share(residual, [])
    assert (share.cuttable_channels, share.cuttable_parameters) == (0, 0)
