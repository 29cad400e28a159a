from __future__ import annotations

import torch

from edgespiral.prune.engines.flow.labels import unlabelled


def test_what_stands_for_no_channel_has_the_label_of_none():
    one, pair = unlabelled(torch.ones(2, 3)), unlabelled((torch.ones(2), 5))
    assert one.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert (pair[0].tolist(), pair[1]) == ([0, 0], None)
    assert unlabelled(3) is None
