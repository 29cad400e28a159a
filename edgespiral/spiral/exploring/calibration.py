"""What a nat costs in the metric's own unit, from cuts that finished runs have trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.comparing.exploration import Estimate
from edgespiral.core.records.events import Baseline, RunFinished, RunStarted, TrainedCut
from edgespiral.core.records.journal import read_run
from edgespiral.core.records.measurement import Interval
from edgespiral.core.records.widths import Widths
from edgespiral.spiral.planning.screening import CAPACITY
from edgespiral.spiral.policy import finished_turns
from edgespiral.spiral.starting.opened import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgespiral.core.records.events import Event, TurnFinished
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.schema import Precision

# Fewer trained cuts carry no interval.
LEAST_FOR_INTERVAL = 3
CONFIDENCE = 0.95


def loss_of(divergence_nats: float, weight_share: float) -> float:
    """What orders cuts by what training will leave of their loss, in nats.

    Of two cuts that do the same to the outputs, the one with more weights learns better
    (docs/allocation.md, "Comparing whole cuts").

    Args:
        divergence_nats: of the untrained cut's outputs from the teacher's.
        weight_share: of the teacher's weights, those that are left.

    Example:
        >>> loss_of(0.1, 1.0), round(loss_of(0.1, 0.25), 3)
        (0.1, 0.174)
    """
    return float(divergence_nats / weight_share**CAPACITY)


def estimated(loss_nats: float, cuts: Sequence[TrainedCut]) -> Estimate | None:
    """What a predicted loss comes to in the metric, by a line through the origin.

    None where no trained cut tells. The interval is for one new cut, by Student's t (Draper and
    Smith 1998, "Applied Regression Analysis", section 1.4 and the model without an intercept).

    Args:
        loss_nats: of the cut in question, as `loss_of`.
        cuts: that were trained.
    """
    pairs = [(loss_of(cut.divergence_nats, cut.weight_share), cut.lost) for cut in cuts]
    squares = sum(loss * loss for loss, _ in pairs)
    if not squares:
        return None
    slope = sum(loss * lost for loss, lost in pairs) / squares
    value = slope * loss_nats
    if len(pairs) < LEAST_FOR_INTERVAL:
        return Estimate(value=value)
    from scipy.stats import t

    freedom = len(pairs) - 1
    variance = sum((lost - slope * loss) ** 2 for loss, lost in pairs) / freedom
    spread = math.sqrt(variance * (1 + loss_nats**2 / squares))
    half = float(t.isf((1 - CONFIDENCE) / 2, freedom)) * spread
    return Estimate(value=value, ci95=Interval(low=value - half, high=value + half))


def trained_cuts(
    folders: Sequence[Path],
    *,
    teacher_sha256: str,
    metric: Metric,
    precision: Precision,
    damage: Callable[[Widths], tuple[float, float] | None],
    say: Callable[[str], None],
) -> list[TrainedCut]:
    """The cuts of the teacher itself that finished runs in `folders` trained.

    Args:
        folders: of runs. Those of another teacher, metric or precision tell nothing; one that
            cannot be read is said and left out.
        damage: the divergence and the share of weights of a cut; None where it is of other groups.
        say: hears what is left out.
    """
    cuts: list[TrainedCut] = []
    for folder in folders:
        try:
            events = read_run(folder / JOURNAL)
        except RunFolderError as error:
            say(f"  not calibrated on {folder.name}: {error}")
            continue
        for turn, lost in _turns(events, teacher_sha256, metric, precision):
            measured = damage(Widths(turn.widths))
            if measured is not None:
                divergence_nats, weight_share = measured
                cuts.append(
                    TrainedCut(
                        run=folder.name,
                        turn=turn.turn,
                        epochs=turn.epochs,
                        divergence_nats=divergence_nats,
                        weight_share=weight_share,
                        lost=lost,
                    )
                )
    return cuts


def _turns(
    events: Sequence[Event], teacher_sha256: str, metric: Metric, precision: Precision
) -> Iterator[tuple[TurnFinished, float]]:
    """Turns that cut the teacher itself, each with what it lost of the metric."""
    started = next((e for e in events if isinstance(e, RunStarted)), None)
    baseline = next((e for e in events if isinstance(e, Baseline)), None)
    is_finished = any(isinstance(e, RunFinished) for e in events)
    if started is None or baseline is None or not is_finished:
        return
    if (started.teacher_sha256, started.metric) != (teacher_sha256, metric):
        return
    for turn in finished_turns(events):
        if turn.parent == 0 and turn.student.precision == precision and turn.epochs:
            before, after = baseline.teacher.validation_score, turn.student.validation_score
            yield turn, metric.lost(before, after)
