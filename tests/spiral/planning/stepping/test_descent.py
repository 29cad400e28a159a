"""Steps down by arrays are those that asking for every latency by itself finds."""

from __future__ import annotations

import math

import pytest
from layered_networks import OneByOne, network

from edgespiral.spiral.planning.allocate import allocate
from edgespiral.spiral.planning.stepping.descent import Descent


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_each_step_is_the_cheapest_of_all(seed: int, devices: int) -> None:
    choice, latency = network(seed, devices)
    widths = choice.widest()
    target_ms = 0.3 * latency.predict_ms(widths)
    descent = Descent(latency.terms(), choice, widths)
    steps = 0
    while latency.predict_ms(widths) > target_ms:
        present_ms, lost = latency.predict_ms(widths), choice.total_lost(widths)

        def price(step, present_ms=present_ms, lost=lost):
            saved_ms = present_ms - max(latency.predict_ms(step), target_ms)
            return (choice.total_lost(step) - lost) / saved_ms if saved_ms > 1e-9 else math.inf

        least = min(map(price, choice.narrower(widths)), default=math.inf)
        step = descent.cheapest(target_ms)
        assert (step is None) == math.isinf(least)
        if step is None:
            break
        assert price(widths | step) == pytest.approx(least)
        widths = widths | step
        descent.go(widths)
        steps += 1
    assert steps > 3


@pytest.mark.parametrize("share", [0.75, 0.5, 0.35])
@pytest.mark.parametrize("seed", range(6))
def test_an_allocation_by_arrays_is_as_good_as_one_that_asks(seed: int, share: float) -> None:
    choice, latency = network(seed)
    target_ms = share * latency.predict_ms(choice.widest())
    asked = allocate(choice, OneByOne(latency), target_ms)
    by_arrays = allocate(choice, latency, target_ms)
    assert (asked is None) == (by_arrays is None)
    if asked is not None and by_arrays is not None:
        assert latency.predict_ms(by_arrays) <= target_ms
        assert choice.total_lost(by_arrays) <= choice.total_lost(asked) * (1 + 1e-9)
