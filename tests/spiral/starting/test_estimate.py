"""Seconds of a run, from those of single steps."""

from dataclasses import replace

import pytest

from edgespiral.spiral.starting.estimate import Part, Work, parts_of
from edgespiral.spiral.starting.pieces import Pieces

NOTHING = Pieces((), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
WORK = Work(
    turns=2,
    train=1000,
    validation=100,
    test=50,
    steps=400,
    keeps_outputs=True,
    scored=3000.0,
    compared=20,
    slowest_ms=1.0,
    device_samples=10,
    finds_rate=False,
)


def seconds(pieces: Pieces, work: Work = WORK) -> dict[str, float]:
    return {part.name: part.seconds for part in parts_of(pieces, work)}


def test_each_piece_is_counted_as_often_as_a_run_does_it() -> None:
    assert sum(seconds(NOTHING).values()) == 0
    assert seconds(replace(NOTHING, step_s=0.01))["training"] == pytest.approx(4.0)
    # The validation by teacher, and twice in each turn; the test split by both, and the device's.
    files = seconds(replace(NOTHING, file_s=1.0))
    assert files == pytest.approx(
        {
            "the teacher": 100,
            "what cuts would lose": 0,
            "widths, on the device": 0,
            "training": 0,
            "students judged": 400,
            "the end": 110,
        }
    )
    forward = seconds(replace(NOTHING, forward_s=1.0))
    assert forward["what cuts would lose"] == 2 * (3000 + 20 * 256)
    assert forward["training"] == 1000


def test_what_a_plan_asks_for_changes_the_estimate() -> None:
    steps = replace(NOTHING, step_s=1.0, forward_s=0.001)
    live = seconds(steps, replace(WORK, keeps_outputs=False))["training"]
    assert live == pytest.approx(400 + 3)
    searched = seconds(steps, replace(WORK, finds_rate=True))["training"]
    assert searched == pytest.approx(400 * 1.07 + 1)


def test_slow_devices_take_fewer_rounds() -> None:
    rounds = replace(NOTHING, round_s=1.0)
    quick, slow = seconds(rounds), seconds(rounds, replace(WORK, slowest_ms=400.0))
    assert slow["widths, on the device"] < quick["widths, on the device"]
    assert slow["students judged"] < quick["students judged"]


def test_a_training_of_ones_own_is_not_guessed() -> None:
    [own] = [p for p in parts_of(replace(NOTHING, step_s=None), WORK) if p.name == "training"]
    assert own == Part("training", 0.0, "not counted: a training of your own")
