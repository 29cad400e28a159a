from __future__ import annotations

import torch

from edgespiral.export.nearness import ParityLimits, beyond, differing, output_parity
from edgespiral.export.nearness import compared as compared_for
from edgespiral.report.formats import sqnr
from edgespiral.tasks.base import Task

EXPECTED = {"large": torch.full((2, 3), 1000.0), "small": torch.full((2, 3), 0.01)}
FOUND = {"large": EXPECTED["large"] + 0.5, "small": EXPECTED["small"] + 0.005}
LIMITS = ParityLimits(largest_share=1e-2)


def compared(expected, found):
    return compared_for(expected, found, Task())


def test_the_figures_are_of_the_output_that_is_furthest_off():
    parity = compared(EXPECTED, FOUND)
    assert 0.004 < parity.max_abs_difference < 0.006
    assert parity.sqnr_db is not None
    assert 6 < parity.sqnr_db < 6.1


def test_the_output_beyond_its_own_limit_is_named():
    parity = compared(EXPECTED, FOUND)
    problem = differing(LIMITS, EXPECTED, FOUND, parity)
    assert problem == "output small: 0.0001 is allowed"
    near = {**FOUND, "small": EXPECTED["small"]}
    assert differing(LIMITS, EXPECTED, near, compared(EXPECTED, near)) is None


def test_one_output_has_no_name():
    one, other = EXPECTED["small"], FOUND["small"]
    problem = differing(LIMITS, one, other, compared(one, other))
    assert problem == "0.0001 is allowed"
    assert beyond(ParityLimits(), compared(one, other), 1.0) is None


def test_what_should_be_nothing_and_is_something_is_told():
    nothing, something = torch.zeros(2, 3), torch.ones(2, 3)
    limits = ParityLimits(least_sqnr_db=20.0)
    assert differing(limits, nothing, something, compared(nothing, something)) is not None


def test_integers_are_compared_as_such():
    ids = torch.tensor([[16_777_216, 2**62]])
    for other in (ids + torch.tensor([1, 0]), -ids):
        parity = compared(ids, other)
        assert parity.max_abs_difference >= 1
        assert parity.sqnr_db is not None
    assert compared(ids, ids.clone()).max_abs_difference == 0
    flags = torch.tensor([[True, False]])
    assert compared(flags, ~flags).max_abs_difference == 1
    assert output_parity(torch.zeros(1, 2), torch.ones(1, 2)).max_abs_difference == 1


def test_what_is_exact_is_told_from_what_should_be_nothing():
    nothing = torch.zeros(1, 2)
    texts = [sqnr(output_parity(nothing, found)) for found in (nothing, nothing + 1)]
    assert texts == ["exact", "none, as all should be 0"]
