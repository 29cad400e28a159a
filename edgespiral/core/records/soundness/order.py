"""Which record may follow which: a journal that says otherwise was not written by a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.events import (
    Baseline,
    Candidate,
    ExplorationPlanned,
    FamilyMeasured,
    PointExplored,
    PrecisionChosen,
    RateChosen,
    RunFinished,
    RunStarted,
    RuntimeChosen,
    TurnFinished,
    TurnPlanned,
)
from edgespiral.core.records.soundness.walk import require_each

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgespiral.core.records.events import Event

ONCE = (
    *(RunStarted, RuntimeChosen, Baseline, PrecisionChosen),
    *(ExplorationPlanned, FamilyMeasured, RunFinished),
)

FIRST = (RunStarted, RuntimeChosen, Baseline)


def require_order(events: Iterable[Event], path: Path) -> None:
    """Refuse a journal whose records no run has written one after the other.

    Args:
        events: all of the journal's records.
        path: the journal's, which the error names with the line.

    Raises:
        RunFolderError: a record is there twice, tells of what was not yet there,
            or comes after the end; or it is of other devices than those of the baseline.
    """
    hint = "the run cannot be gone on with; choose another --out"
    require_each(events, _Order(), path, hint)


class _Order:
    """What a journal has told so far."""

    def __init__(self) -> None:
        self._kinds: set[type] = set()
        self._planned: set[int] = set()
        self._rated: set[int] = set()
        self._finished: list[int] = []
        self._devices = 0

    def add(self, event: Event) -> None:
        """Take in the next record."""
        self._kinds.add(type(event))
        if isinstance(event, Baseline):
            self._devices = len(event.devices)
        elif isinstance(event, TurnPlanned):
            self._planned.add(event.turn)
        elif isinstance(event, RateChosen):
            self._rated.add(event.turn)
        elif isinstance(event, TurnFinished):
            self._finished.append(event.turn)

    def problem_of(self, event: Event) -> str | None:
        """Why this record cannot be the next; None where it can."""
        if not self._kinds and not isinstance(event, RunStarted):
            return "the journal does not begin with a run's start"
        if RunFinished in self._kinds:
            return "the run had ended before"
        if isinstance(event, ONCE) and type(event) in self._kinds:
            return "is there a second time"
        if not isinstance(event, FIRST) and Baseline not in self._kinds:
            return "comes before the baseline"
        if isinstance(event, RuntimeChosen) and Baseline in self._kinds:
            return "comes after the baseline"
        return self._problem_of_turn(event) or self._problem_of_devices(event)

    def _problem_of_turn(self, event: Event) -> str | None:
        next_turn = len(self._finished) + 1
        if isinstance(event, TurnPlanned | RateChosen | TurnFinished) and event.turn != next_turn:
            return f"is of turn {event.turn}, and turn {next_turn} is due"
        if isinstance(event, TurnPlanned) and event.turn in self._planned:
            return f"turn {event.turn} was planned before"
        if isinstance(event, RateChosen) and event.turn in self._rated:
            return f"turn {event.turn} had its rate before"
        if isinstance(event, RateChosen | TurnFinished) and event.turn not in self._planned:
            return f"turn {event.turn} was never planned"
        source = event.parent if isinstance(event, TurnFinished) else 0
        source = event.best_turn if isinstance(event, RunFinished | FamilyMeasured) else source
        if source and source not in self._finished:
            return f"tells of turn {source}, which was never finished"
        return None

    def _problem_of_devices(self, event: Event) -> str | None:
        if not isinstance(event, Candidate | PointExplored | TurnFinished | RunFinished):
            return None
        if len(event.devices) != self._devices:
            return f"is of {len(event.devices)} devices, the baseline of {self._devices}"
        return None
