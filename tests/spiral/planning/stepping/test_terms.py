"""A latency by layers: rounded up in blocks, nothing where a branch is gone; and sizes told so."""

from __future__ import annotations

import numpy as np
import pytest

from edgespiral.spiral.planning.stepping.terms import LatencyTerms, LayerTerm, SizeTerms

LAYER = LayerTerm(64.0, 32.0, {"in": 2.0}, {"out": 1.0}, (1.0, 10.0, 100.0, 1000.0))


def test_a_layer_takes_whole_blocks_of_channels_and_nothing_once_it_is_gone() -> None:
    terms = LatencyTerms([LAYER], 0.0, {"in": 32, "out": 32}, multiple=16, scale=0.5)
    cin, cout = LAYER.sides(terms.less({"in": 20, "out": 32}))
    assert (cin, cout) == (40.0, 32.0)
    assert terms.layer_ms(LAYER, cin, cout) == 0.5 * (48 * 32 + 10 * 48 + 100 * 32 + 1000)
    several = terms.layer_ms(LAYER, np.array([40.0, 48.0, 0.0]), 32.0)
    assert several[0] == several[1] > several[2] == 0
    assert LAYER.groups == ("in", "out")


def test_a_size_is_exact_and_lands_where_it_is_as_large_as_allowed() -> None:
    size = SizeTerms([], 0.0, {}, multiple=0, lead_ms=4.0, landing=0.98)
    assert size.layer_ms(LAYER, 40.0, 1.0) == 40 + 400 + 100 + 1000
    assert size.told_ms(np.array([0.5, 1.0, 1.01])) == pytest.approx([1.96, 3.92, 4.04])
