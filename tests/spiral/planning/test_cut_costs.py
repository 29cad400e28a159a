from __future__ import annotations

import pytest

from edgespiral.core.records.widths import Widths
from edgespiral.spiral.planning.cut_costs import cuts_of
from edgespiral.spiral.planning.stepping.choices import Choices

OPTIONS = {"a": (16, 32), "b": (16, 32, 64), "c": (32,), "in": (16, 32), "gone before": (0,)}
LOST = {
    "a": {16: 0.3, 32: 0.0},
    "b": {16: 0.6, 32: 0.1, 64: 0.0},
    "c": {32: 0.0},
    "in": {16: 0.2, 32: 0.0},
    "gone before": {},
}
CHOICE = Choices(OPTIONS, LOST, {"branch": ("in",)}, {"branch": 0.4})


class Two:
    """Latencies on two devices, of which the second is slower and sees only `b`."""

    def each_ms(self, widths):
        return [0.01 * sum(widths.values()), 0.1 * widths["b"]]


def test_each_cut_says_what_it_lost_and_what_it_saves():
    widths = Widths({"a": 16, "b": 32, "c": 32, "in": 0, "gone before": 0})
    a, b, branch = cuts_of(CHOICE, Two(), ["fast", "slow"], widths)
    assert (a.name, a.before, a.after) == ("a", 32, 16)
    assert (branch.name, branch.before, branch.after) == ("branch", 32, 0)
    assert a.lost_share + b.lost_share + branch.lost_share == pytest.approx(1.0)
    assert a.lost_share == pytest.approx(0.3 / 0.8)
    assert a.saved_ms == {"fast": pytest.approx(0.16), "slow": 0.0}
    assert b.saved_ms == {"fast": pytest.approx(0.32), "slow": pytest.approx(3.2)}
    assert branch.saved_ms["fast"] == pytest.approx(0.32)


def test_what_is_not_cut_is_not_listed():
    whole = Widths({name: options[-1] for name, options in OPTIONS.items()})
    assert cuts_of(CHOICE, Two(), ["fast", "slow"], whole) == ()
