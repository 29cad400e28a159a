from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.planning.importance import comparable, samples_at_once
from edgespiral.spiral.planning.pace import LEAST_ROUNDS, Pace, rounds_of

SMALL, LARGE, LARGEST = Pace(3e8), Pace(3.5e10), Pace(1e12)
SAMPLES = 50_000


def test_quick_models_take_every_round_and_slow_ones_as_few_as_carry_an_interval():
    assert rounds_of(50, 0.06) == rounds_of(50, 20.0) == 50
    assert rounds_of(50, 40.0) == 25
    assert rounds_of(50, 4000.0) == LEAST_ROUNDS == 5
    assert rounds_of(50, 4000.0, least=10) == 10


def test_no_more_rounds_are_taken_than_were_wanted():
    assert rounds_of(5, 4000.0, least=10) == 5


@pytest.mark.parametrize("pace", [SMALL, LARGE, LARGEST])
def test_there_are_always_some_samples_and_never_more_than_wanted(pace):
    for shown in (
        pace.for_covariances(128),
        pace.for_gradients(128),
        pace.kept_at_once(128),
        pace.in_a_tour(128, variants=40),
        pace.for_prices(128, variants=40),
        pace.for_comparisons(128, cuts=16),
    ):
        assert 0 < shown <= 128
    assert pace.for_gradients(3) == 3


def test_large_models_are_shown_fewer_samples():
    assert SMALL.for_prices(256, 40) == 256 > LARGE.for_prices(256, 40)
    assert SMALL.for_gradients(256) == 256 > LARGE.for_gradients(256)
    assert SMALL.kept_at_once(128) == 128 > LARGE.kept_at_once(128)
    assert SMALL.for_covariances(128) == 128 > LARGE.for_covariances(128)


def test_whole_cuts_of_large_models_are_compared_while_enough_of_them_can_be():
    counts = [comparable(30.0, SAMPLES, pace) for pace in (SMALL, LARGE, LARGEST)]
    assert counts == [40, 16, 0]


def test_short_trainings_compare_nothing_whatever_the_model():
    assert comparable(0.1, 1000, SMALL) == 0


def test_batch_norms_get_values_enough_whatever_a_sample_takes():
    stem = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
    net = nn.Sequential(*stem, nn.Flatten(), nn.Linear(8 * 4 * 4, 5))
    source = PrunableModel.of(trace(net.eval(), torch.randn(2, 3, 6, 6)), (3, 6, 6))
    assert samples_at_once(source.model, LARGEST, 40) * 6 * 6 >= 512
    assert samples_at_once(source.model, SMALL, 40) == 32
