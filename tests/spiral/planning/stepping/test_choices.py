"""What may be chosen: changes as changes, and what they lose."""

from __future__ import annotations

from edgespiral.core.records.widths import Widths
from edgespiral.spiral.planning.stepping.choices import Choices

LOST = {"a": {16: 3.0, 32: 0.0}, "b": {16: 2.0, 32: 0.5, 48: 0.0}}
CHOICE = Choices({"a": (16, 32), "b": (16, 32, 48)}, LOST, {"block": ("b",)}, {"block": 1.0})


def test_steps_down_lead_to_what_is_narrower_and_lose_what_that_does() -> None:
    widths = CHOICE.widest()
    steps = list(CHOICE.steps_down(widths))
    assert steps == [{"a": 16}, {"b": 16}, {"b": 32}, {"b": 0}]
    assert [widths | step for step in steps] == list(CHOICE.narrower(widths))
    assert [CHOICE.lost_after(widths, 0.0, step) for step in steps] == [3.0, 2.0, 0.5, 1.0]


def test_a_branch_that_is_gone_comes_back_whole_or_narrow() -> None:
    gone = Widths({"a": 16, "b": 0})
    assert list(CHOICE.wider(gone)) == [{"a": 32, "b": 0}, {"a": 16, "b": 48}, {"a": 16, "b": 16}]
    assert CHOICE.gone(gone) == {"block": ("b",)}
    assert CHOICE.allows(gone)
    assert not CHOICE.allows(Widths({"a": 0, "b": 16}))
