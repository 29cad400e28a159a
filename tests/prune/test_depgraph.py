from __future__ import annotations

import pytest

from edgespiral.core.errors import ModelError
from edgespiral.prune.depgraph import DepGraphCutter
from edgespiral.prune.groups import find_groups


def test_removing_every_channel_of_a_group_is_refused(residual, example):
    groups = find_groups(residual, example)
    kept = {group.name: list(range(group.channels)) for group in groups} | {"stem": []}
    with pytest.raises(ModelError, match="stem: cannot remove every channel"):
        DepGraphCutter().cut(residual, example, groups, kept)
