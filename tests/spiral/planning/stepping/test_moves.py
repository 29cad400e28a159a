"""What pairs of changes take together is what the changed cut takes."""

from __future__ import annotations

import itertools

import pytest
from layered_networks import BRANCHES, network

from edgespiral.spiral.planning.stepping.exchange import better_exchange
from edgespiral.spiral.planning.stepping.moves import Moves, latencies_after_both


@pytest.mark.parametrize("devices", [1, 2])
def test_the_latency_of_a_pair_is_that_of_the_cut(devices: int) -> None:
    choice, latency = network(3, devices)
    gone = choice.widest() | dict.fromkeys(BRANCHES["block"], 0)
    for widths in (choice.at_share(0.5), gone | {"stem": 32}):
        ups = [{}, {"stem": 64}, {"alone": 80}, {"in": 96, "out": 48}, {"in": 64, "out": 16}]
        downs = [{}, {"stem": 16}, {"alone": 16}, dict.fromkeys(BRANCHES["block"], 0)]
        together = latencies_after_both(latency.terms(), Moves(widths, ups), Moves(widths, downs))
        for (row, up), (column, down) in itertools.product(enumerate(ups), enumerate(downs)):
            if up.keys() & down.keys():
                assert together[row, column] == float("inf")
            else:
                expected_ms = latency.predict_ms(widths | up | down)
                assert together[row, column] == pytest.approx(expected_ms)


@pytest.mark.parametrize("seed", range(8))
def test_no_exchange_loses_less_than_the_one_taken(seed: int) -> None:
    choice, latency = network(seed)
    for start in (choice.at_share(0.5), choice.narrowest()):
        target_ms, most = 1.02 * latency.predict_ms(start), choice.total_lost(start)
        pairs = (pair for grown in choice.wider(start) for pair in (grown, *choice.narrower(grown)))
        losses = [choice.total_lost(w) for w in pairs if latency.predict_ms(w) <= target_ms]
        better = better_exchange(
            *(choice, latency.terms(), start),
            most=most, target_ms=target_ms, predict_ms=latency.predict_ms,
        )  # fmt: skip
        least = min((lost for lost in losses if lost < most), default=None)
        if better is None:
            assert least is None
        else:
            assert latency.predict_ms(better) <= target_ms
            assert choice.allows(better)
            assert choice.total_lost(better) <= (most if least is None else least + 1e-9)
