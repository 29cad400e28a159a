from __future__ import annotations

import random

import pytest
import torch

from edgespiral.core.records.widths import Widths
from edgespiral.prune.groups import ChannelGroup
from edgespiral.spiral.context import Parent
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.planning.allocate import choices
from edgespiral.spiral.planning.importance import Scorer
from edgespiral.spiral.planning.screening import Screen, exchanges, guessed, screen_of
from edgespiral.tasks.classification import CLASSIFICATION

WIDTHS = Widths({"a": 32, "b": 32, "c": 32})


@pytest.fixture
def choice():
    groups = [ChannelGroup(name, 64, 1, (), ()) for name in WIDTHS]
    scores = {name: torch.ones(64) for name in WIDTHS}
    return choices(groups, scores, multiple=8, least_share=0.0)


def total(widths):
    return sum(widths.values())


def distance(widths):
    """From a best cut that adding up equal prices cannot point to."""
    return 1.0 + abs(widths["a"] - 56) + abs(widths["b"] - 8) + abs(widths["c"] - 32)


def distances(cuts):
    return list(map(distance, cuts))


def test_it_finds_a_better_cut_of_those_that_land(choice):
    screen = Screen(distances, lambda _: 1.0, affordable=200)
    screen.descend(choice, WIDTHS, lambda widths: total(widths) == total(WIDTHS))
    assert min(screen.prices, key=screen.prices.get) == {"a": 56, "b": 8, "c": 32}
    assert all(total(widths) == total(WIDTHS) for widths in screen.prices)


def test_it_compares_no_more_than_can_be_afforded_and_leaves_half_for_later(choice):
    asked = []

    def damages(cuts):
        asked.extend(cuts)
        return distances(cuts)

    screen = Screen(damages, lambda _: 1.0, affordable=40)
    screen.descend(choice, WIDTHS, lambda _: True)
    assert 20 <= len(asked) == len(screen.prices) < 40
    screen.descend(choice, WIDTHS, lambda _: True)
    assert 30 <= len(asked) < 40
    for _ in range(3):
        screen.descend(choice, WIDTHS, lambda _: True)
    assert len(asked) == len(screen.prices) < 60
    screen.price(asked[0])
    assert len(asked) == len(screen.prices)


def test_it_stays_where_nothing_else_lands(choice):
    screen = Screen(distances, lambda _: 1.0, affordable=40)
    screen.descend(choice, WIDTHS, lambda _: False)
    assert list(screen.prices) == [WIDTHS]


def test_of_two_cuts_that_do_the_same_the_one_with_more_weights_is_better():
    screen = Screen(lambda cuts: [0.5] * len(cuts), total, affordable=2)
    assert screen.price(Widths({"a": 64})) < screen.price(Widths({"a": 32}))


def test_guesses_begin_with_what_prices_add_up_to_and_learn_otherwise(choice):
    cuts = [Widths({"a": a, "b": b, "c": 32}) for a in (16, 32, 48) for b in (16, 32, 48)]

    def rank(values):
        return sorted(range(len(cuts)), key=lambda index: values[index])

    lost = [choice.total_lost(widths) for widths in cuts]
    first = guessed(choice, {WIDTHS: 1.0}, cuts)
    assert [lost[index] for index in rank(first)] == sorted(lost)
    known = [Widths({"a": a, "b": b, "c": 24}) for a in (8, 24, 40, 56) for b in (8, 24, 40, 56)]
    later = guessed(choice, {w: w["b"] / w["a"] for w in known}, cuts)
    wanted = rank([widths["b"] / widths["a"] for widths in cuts])
    assert {wanted[0], wanted[-1]} == {rank(later)[0], rank(later)[-1]}


def test_exchanges_are_one_change_or_one_up_and_one_down(choice):
    for widths in exchanges(choice, WIDTHS, random.Random(0)):
        changes = [widths[name] - WIDTHS[name] for name in WIDTHS if widths[name] != WIDTHS[name]]
        assert len(changes) == 1 or (len(changes) == 2 and min(changes) < 0 < max(changes))


def test_a_run_compares_what_its_training_can_afford(a_bench, digits):
    plan = load_plan(None, {"model": "resnet20", "data": "digits", "speedup": 2.0, "epochs": 60.0})
    source, scorer = (
        a_bench(plan).teacher,
        Scorer("fisher", digits.train, 60.0, seed=0, task=CLASSIFICATION),
    )
    importance = scorer.importance(source, 1)
    parent = Parent(0, source, lambda: importance, source.model)
    heard = []
    made = {
        epochs: screen_of(scorer, parent, 1, epochs, total, heard=lambda *told: heard.append(told))
        for epochs in (1.0, 60.0)
    }
    assert made[1.0] is None
    screen = made[60.0]
    assert screen is not None
    whole = Widths({group.name: group.channels for group in source.groups})
    half = Widths({name: width // 2 for name, width in whole.items()})
    assert screen.price(whole) < screen.price(half)
    assert [done for done, _, _ in heard] == [1, 2]
    again = screen_of(scorer, parent, 1, 60.0, total, heard=lambda *_: None)
    assert again is not None
    assert again.price(half) == pytest.approx(screen.price(half), rel=1e-3)
