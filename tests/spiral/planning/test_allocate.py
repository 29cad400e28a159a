from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgespiral.core.errors import UsageError
from edgespiral.core.records.widths import Widths
from edgespiral.prune.branches import Branch
from edgespiral.prune.groups import ChannelGroup
from edgespiral.spiral.planning.allocate import (
    ALLOCATIONS,
    FAMILIES,
    allocate,
    choices,
    every_choice,
)
from edgespiral.spiral.planning.stepping.choices import Choices


def group(name, channels, sub_groups=1):
    return ChannelGroup(name, channels, sub_groups, (), ())


class Products:
    """A chain of layers, each as slow as the product of its two widths."""

    def __init__(self, names):
        self.names = names

    def predict_ms(self, widths):
        chain = [widths[name] for name in self.names]
        return 1.0 + sum(a * b for a, b in itertools.pairwise([4, *chain, 4]))


def chain(sizes, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    groups = [group(f"g{i}", size) for i, size in enumerate(sizes)]
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in groups}
    settled = {"multiple": 4, "least_share": 0.2} | options
    return choices(groups, scores, **settled), Products([g.name for g in groups])


def best_by_trying_all(choice, latency, target_ms):
    names = list(choice.options)
    tried = (dict(zip(names, widths, strict=True)) for widths in itertools.product(
        *(choice.options[name] for name in names)))  # fmt: skip
    fits = [choice.total_lost(w) for w in tried if latency.predict_ms(w) <= target_ms]
    return min(fits, default=None)


def test_widths_step_by_the_multiple_and_keep_the_least_share():
    choice, _ = chain([32], multiple=8, least_share=0.4)
    assert choice.options == {"g0": (16, 24, 32)}


def test_widths_step_by_what_grouped_convolutions_demand():
    g = group("g", 24, sub_groups=3)
    choice = choices([g], {"g": torch.ones(24)}, multiple=4, least_share=0.0)
    assert choice.options == {"g": (12, 24)}
    assert choice.lost["g"] == {12: 12.0, 24: 0.0}


def test_the_importance_lost_is_that_of_the_least_important_channels():
    scores = {"g": torch.tensor([5.0, 1.0, 3.0, 2.0])}
    choice = choices([group("g", 4)], scores, multiple=1, least_share=0.0)
    assert choice.lost["g"] == {1: 6.0, 2: 3.0, 3: 1.0, 4: 0.0}


def test_nothing_to_cut_says_what_the_multiple_is():
    with pytest.raises(UsageError, match="widest group has 8 channels and the step is 16"):
        every_choice([group("g", 8)], [], multiple=16)


def test_a_turn_with_one_width_a_group_is_settled():
    groups, scores = [group("g", 32)], {"g": torch.ones(32)}
    assert choices(groups, scores, multiple=32, least_share=0.2).is_settled
    assert not choices(groups, scores, multiple=16, least_share=0.2).is_settled


@given(
    sizes=st.lists(st.sampled_from([8, 12, 16, 24]), min_size=1, max_size=4),
    share=st.floats(0.2, 0.95),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60)
def test_it_meets_the_target_and_is_close_to_the_best_there_is(sizes, share, seed):
    choice, latency = chain(sizes, seed)
    target_ms = share * latency.predict_ms(choice.widest())
    found = allocate(choice, latency, target_ms)
    best = best_by_trying_all(choice, latency, target_ms)
    if best is None:
        assert found is None
        return
    assert found is not None
    assert choice.allows(found)
    assert latency.predict_ms(found) <= target_ms
    whole = choice.total_lost(choice.narrowest())
    assert choice.total_lost(found) <= best + 0.1 * whole


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_every_allocation_meets_the_target_or_says_it_cannot(name):
    choice, latency = chain([16, 32, 16])
    target_ms = 0.5 * latency.predict_ms(choice.widest())
    found = ALLOCATIONS[name](choice, latency, target_ms)
    assert latency.predict_ms(found) <= target_ms
    assert ALLOCATIONS[name](choice, latency, 1.5) is None


def test_uniform_cuts_every_group_by_the_same_share():
    choice, latency = chain([16, 32, 16])
    found = ALLOCATIONS["uniform"](choice, latency, 0.4 * latency.predict_ms(choice.widest()))
    shares = {found[name] / choice.options[name][-1] for name in found}
    assert max(shares) - min(shares) <= 0.25


def test_a_cheap_branch_goes_before_dear_channels():
    groups = [group("stem", 16), group("inner", 16)]
    scores = {"stem": torch.full((16,), 10.0), "inner": torch.full((16,), 1.0)}
    branch = Branch("block", "add", "bn2", ("inner",), ("conv1", "conv2"))
    choice = choices(
        groups, scores, multiple=4, least_share=0.2,
        branches=[branch], branch_importance={"block": 0.5},
    )  # fmt: skip
    latency = Products(["stem", "inner"])
    found = allocate(choice, latency, 0.5 * latency.predict_ms(choice.widest()))
    assert found == {"stem": 16, "inner": 0}
    assert choice.total_lost(found) == 0.5


def test_groups_gone_in_an_earlier_turn_stay_gone():
    choice = choices([group("a", 8)], {"a": torch.ones(8)}, multiple=4, least_share=0.2, gone=["b"])
    assert choice.widest() == {"a": 8, "b": 0}
    assert choice.narrowest() == {"a": 4, "b": 0}
    assert all(step["b"] == 0 for step in (*choice.narrower(choice.widest()),))


def test_the_order_of_groups_does_not_decide_ties():
    choice = Choices({"a": (4, 8), "b": (4, 8)}, {"a": {4: 1.0, 8: 0.0}, "b": {4: 1.0, 8: 0.0}})
    latency = Products(["a", "b"])
    once = allocate(choice, latency, 0.8 * latency.predict_ms(choice.widest()))
    again = allocate(choice, latency, 0.8 * latency.predict_ms(choice.widest()))
    assert once == again


def test_uniform_never_drops_a_branch_and_global_never_leaves_its_path():
    choice, latency = chain([16, 24])
    branched = dataclasses.replace(choice, branches={"b": ("g1",)}, branch_lost={"b": 0.0})
    assert all(widths["g1"] for widths in FAMILIES["uniform"](branched))
    for name, family in FAMILIES.items():
        path = list(family(branched))
        chosen = ALLOCATIONS[name](branched, latency, 0.5 * latency.predict_ms(choice.widest()))
        assert chosen in path
        only = dataclasses.replace(branched, only=path[:1])
        assert only.narrowest() == path[0]
        assert not only.allows(path[-1])


def test_each_direction_of_a_recurrent_layer_keeps_whole_blocks():
    group = ChannelGroup("rnn", 128, 2, (), (), free_runs=True)
    found = choices([group], {"rnn": torch.ones(128)}, multiple=16, least_share=0.2)
    assert found.options == {"rnn": (32, 64, 96, 128)}
    assert found.lost["rnn"] == {32: 96.0, 64: 64.0, 96: 32.0, 128: 0.0}


def test_a_branch_inside_one_that_is_gone_does_not_come_back_alone():
    groups = [group(name, 16) for name in ("outer", "inner")]
    branches = [Branch("b", "", "", ("inner",), ()), Branch("a", "", "", ("outer", "inner"), ())]
    scores = {g.name: torch.ones(16) for g in groups}
    prices = {"a": 1.0, "b": 0.5}
    choice = choices(
        groups, scores, multiple=8, least_share=0.2, branches=branches, branch_importance=prices
    )
    gone = Widths({"outer": 0, "inner": 0})
    assert {tuple(w.values()) for w in choice.wider(gone)} == {(16, 16), (8, 8)}
    assert choice.allows(gone)
    assert choice.allows({"outer": 16, "inner": 0})
    assert not choice.allows({"outer": 0, "inner": 16})
