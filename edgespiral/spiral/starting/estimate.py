"""How long a run takes, from what single steps of it were seen to take.

Seconds are pieces (`pieces.py`) times how often a run does them. How often is known for most; a
search for widths on a device ends when it has found some, and is counted as a usual one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.spiral.baseline import BASELINE_ROUNDS
from edgespiral.spiral.planning.candidates import (
    CONFIRMING_ROUNDS,
    LEAST_CONFIRMING,
    LEAST_PROBES,
    LEAST_WHOLE,
    PROFILED_ROUNDS,
    SURVEY_ROUNDS,
)
from edgespiral.spiral.planning.importance import COMPARED_SAMPLES, FORWARDS_PER_STEP
from edgespiral.spiral.planning.pace import rounds_of
from edgespiral.spiral.planning.probes import MIXED_PROBES, UNIFORM_PROBES
from edgespiral.spiral.planning.search import AIMS, PROPOSAL_ROUNDS
from edgespiral.spiral.student.learning_rate import TRIAL_SHARE
from edgespiral.spiral.turn import DECIDING_ROUNDS

if TYPE_CHECKING:
    from edgespiral.spiral.starting.pieces import Pieces

PROBES = len(UNIFORM_PROBES) + MIXED_PROBES
# Searches that were looked at measured two batches of proposals; others take up to six.
USUAL_BATCHES = 2


@dataclass(frozen=True)
class Work:
    """How much there is to do.

    Attributes:
        turns: of the spiral; 0 where the teacher meets its budget as it is.
        train, validation, test: samples.
        steps: of training in all turns together.
        keeps_outputs: the teacher is asked about each training sample once, and not at each step.
        scored: samples that a turn's importance is measured on, in passes forward.
        compared: whole cuts that a turn compares.
        slowest_ms: the teacher's latency on the device where it is slowest.
        device_samples: that what ships is run on, on its device.
        finds_rate: the learning rate is searched for.
    """

    turns: int
    train: int
    validation: int
    test: int
    steps: int
    keeps_outputs: bool
    scored: float
    compared: int
    slowest_ms: float
    device_samples: int
    finds_rate: bool


@dataclass(frozen=True)
class Part:
    """A part of a run: seconds, and what of it they are made up of."""

    name: str
    seconds: float
    made_of: str


def parts_of(pieces: Pieces, work: Work) -> tuple[Part, ...]:
    """The parts of a run in their order.

    Args:
        pieces: what single steps take.
        work: how often they are done.
    """
    if not work.turns:  # the teacher meets its budget
        return (_baseline(pieces, work), _shipping(pieces, work))
    return (
        _baseline(pieces, work),
        _scoring(pieces, work),
        _planning(pieces, work),
        _training(pieces, work),
        _judging(pieces, work),
        _shipping(pieces, work),
    )


def _baseline(pieces: Pieces, work: Work) -> Part:
    rounds = rounds_of(BASELINE_ROUNDS, work.slowest_ms)
    seconds = (
        pieces.export_s
        + _scores(pieces, work.validation)
        + _measured(pieces, models=1, rounds=rounds)
    )
    return Part("the teacher", seconds, f"its file scored on {work.validation:,} samples and timed")


def _scoring(pieces: Pieces, work: Work) -> Part:
    samples = work.scored + work.compared * COMPARED_SAMPLES
    seconds = work.turns * samples * pieces.forward_s
    cuts = f", {work.compared} whole cuts compared" if work.compared else ""
    return Part("what cuts would lose", seconds, f"{samples:,.0f} samples a turn{cuts}")


def _planning(pieces: Pieces, work: Work) -> Part:
    """The survey is made once, the search in each turn; each device does its own meanwhile."""
    probes = rounds_of(PROBES, work.slowest_ms, least=LEAST_PROBES)
    whole = rounds_of(PROBES, work.slowest_ms, least=LEAST_WHOLE)
    survey = rounds_of(SURVEY_ROUNDS, work.slowest_ms)
    proposals = rounds_of(PROPOSAL_ROUNDS, work.slowest_ms)
    confirming = rounds_of(CONFIRMING_ROUNDS, work.slowest_ms, least=LEAST_CONFIRMING)
    searched = USUAL_BATCHES * len(AIMS)
    once_s = (
        (probes + 1) * pieces.candidate_s
        + _measured(pieces, models=probes + 1, rounds=PROFILED_ROUNDS)
        + _measured(pieces, models=whole + 1, rounds=survey)
        + _measured(pieces, models=2, rounds=proposals)
    )
    turn_s = (
        (searched + 1) * pieces.candidate_s
        + USUAL_BATCHES * _measured(pieces, models=len(AIMS) + 1, rounds=proposals)
        + _measured(pieces, models=2, rounds=confirming)
    )
    cuts = probes + 1 + work.turns * searched
    return Part("widths, on the device", once_s + work.turns * turn_s, f"about {cuts} cuts timed")


def _training(pieces: Pieces, work: Work) -> Part:
    """Without the teacher's passes where its outputs are kept; the user's own loop is not known."""
    if pieces.step_s is None:
        return Part("training", 0.0, "not counted: a training of your own")
    teacher_s = pieces.forward_s * work.train
    asked_s = teacher_s * (1 if work.keeps_outputs else FORWARDS_PER_STEP)
    steps = work.steps * (1 + TRIAL_SHARE * work.finds_rate)
    return Part("training", steps * pieces.step_s + asked_s, f"{work.steps:,} steps")


def _judging(pieces: Pieces, work: Work) -> Part:
    rounds = rounds_of(DECIDING_ROUNDS[0], work.slowest_ms)
    a_turn_s = (
        pieces.candidate_s
        + _scores(pieces, 2 * work.validation)
        + _measured(pieces, models=2, rounds=rounds)
    )
    return Part("students judged", work.turns * a_turn_s, f"{rounds} rounds each, and their files")


def _shipping(pieces: Pieces, work: Work) -> Part:
    seconds = _scores(pieces, 2 * work.test) + work.device_samples * pieces.file_s
    return Part("the end", seconds, f"{work.test:,} test samples, once")


def _scores(pieces: Pieces, samples: int) -> float:
    """Of so many samples, through PyTorch and through the file."""
    return samples * (pieces.forward_s + pieces.file_s)


def _measured(pieces: Pieces, *, models: int, rounds: int) -> float:
    return pieces.start_s + models * rounds * pieces.round_s
