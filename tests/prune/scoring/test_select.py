from __future__ import annotations

import torch

from edgespiral.prune.groups import ChannelGroup
from edgespiral.prune.scoring.select import keep_best, unit_scores


def group(channels, sub_groups=1):
    return ChannelGroup("layer", channels, sub_groups, (), ())


def test_the_best_channels_stay_in_their_order():
    kept = keep_best([group(4)], {"layer": torch.tensor([0.1, 3.0, 0.2, 1.0])}, {"layer": 2})
    assert kept == {"layer": [1, 3]}


def test_ties_go_to_the_lower_index():
    kept = keep_best([group(4)], {"layer": torch.ones(4)}, {"layer": 3})
    assert kept == {"layer": [0, 1, 2]}


def test_width_zero_keeps_nothing():
    assert keep_best([group(4)], {"layer": torch.ones(4)}, {"layer": 0}) == {"layer": []}


def test_tied_channels_are_judged_together():
    scores = torch.tensor([5.0, 1.0, 0.0, 1.5])
    assert unit_scores(group(4, 2), scores).tolist() == [5.0, 2.5]
    assert keep_best([group(4, 2)], {"layer": scores}, {"layer": 2}) == {"layer": [0, 2]}


def test_runs_that_choose_freely_pair_their_best_with_each_others():
    channels = torch.tensor([1.0, 5.0, 3.0, 40.0, 10.0, 20.0])
    group = ChannelGroup("rnn", 6, 2, (), (), free_runs=True)
    assert unit_scores(group, channels).tolist() == [45.0, 23.0, 11.0]
    assert keep_best([group], {"rnn": channels}, {"rnn": 4}) == {"rnn": [1, 2, 3, 5]}
