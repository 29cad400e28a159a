"""`exploration.json` and its page, from the journal of an exploration alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.comparing.exploration import EXPLORATION, Exploration, Point
from edgespiral.core.records.events import (
    Baseline,
    ExplorationPlanned,
    LossCalibrated,
    PointExplored,
    PointOutOfReach,
    RunStarted,
)
from edgespiral.core.records.measurement import Interval
from edgespiral.core.records.widths import Widths
from edgespiral.core.system.files import write_text
from edgespiral.report.exploration import exploration_html
from edgespiral.spiral.exploring.calibration import estimated, loss_of
from edgespiral.spiral.exploring.front import Front, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TypeVar

    from edgespiral.core.records.events import Event, TrainedCut

    Kind = TypeVar("Kind")

PAGE = "exploration.html"
# What a point has of its event as it is.
AS_EXPLORED = (
    *("target_ms", "widths", "devices", "speedups"),
    *("divergence_nats", "weight_share"),
)


def write_exploration(events: Sequence[Event], out: Path) -> None:
    """Write the record and the page of an exploration to its folder."""
    exploration = exploration_of(events)
    write_text(out / EXPLORATION, exploration.model_dump_json(indent=2) + "\n")
    write_text(out / PAGE, exploration_html(exploration))


def exploration_of(events: Sequence[Event]) -> Exploration:
    """The trade-off that the events of a journal tell of, explored to the end or not.

    Raises:
        RunFolderError: nothing was planned yet.
    """
    started, baseline = _last(events, RunStarted), _last(events, Baseline)
    planned, calibrated = _last(events, ExplorationPlanned), _last(events, LossCalibrated)
    if started is None or baseline is None or planned is None:
        raise RunFolderError("nothing was explored yet", hint="go on with --resume")
    explored = [event for event in events if isinstance(event, PointExplored)]
    beyond = [event for event in events if isinstance(event, PointOutOfReach)]
    trained = calibrated.cuts if calibrated else ()
    return Exploration(
        plan=started.plan,
        said=started.said,
        teacher_sha256=started.teacher_sha256,
        metric=started.metric,
        teacher_score=baseline.teacher.validation_score,
        teacher=tuple(device.measurement for device in baseline.devices),
        precision=explored[0].precision if explored else baseline.teacher.precision,
        start_ms=planned.start_ms,
        points=tuple(_points(_each_once(explored), baseline, planned, trained)),
        out_of_reach_ms=tuple(event.target_ms for event in beyond),
        calibrated_on=trained,
        complete=len(explored) + len(beyond) == len(planned.targets_ms),
        command=started.command,
    )


def _last(events: Sequence[Event], kind: type[Kind]) -> Kind | None:
    return next((event for event in reversed(events) if isinstance(event, kind)), None)


def _each_once(explored: Sequence[PointExplored]) -> list[PointExplored]:
    """The cuts, those that are the best for several latencies once."""
    by_widths = {Widths(e.widths): e for e in reversed(explored)}
    return list(by_widths.values())


def _points(
    explored: Sequence[PointExplored],
    baseline: Baseline,
    planned: ExplorationPlanned,
    trained: Sequence[TrainedCut],
) -> Iterator[Point]:
    """The cuts, the slowest first."""
    placed = sorted(
        ((_place(event, baseline), event) for event in explored),
        key=lambda pair: -pair[0].latency_ms,
    )
    front = Front.of([Place(planned.start_ms, 0.0), *(place for place, _ in placed)])
    knees = front.knees()
    for number, (place, event) in enumerate(placed, start=1):
        on_front = place in front.places
        yield Point(
            number=number,
            latency_ms=place.latency_ms,
            latency_ci95_ms=_latency(event, baseline)[1],
            loss_nats=place.loss_nats,
            predicted_drop=estimated(place.loss_nats, trained),
            on_front=on_front,
            knee=place in knees,
            next_tenth_nats=front.next_tenth(place) if on_front else None,
            **{name: getattr(event, name) for name in AS_EXPLORED},
        )


def _place(event: PointExplored, baseline: Baseline) -> Place:
    latency_ms, _ = _latency(event, baseline)
    return Place(latency_ms, loss_of(event.divergence_nats, event.weight_share))


def _latency(event: PointExplored, baseline: Baseline) -> tuple[float, Interval]:
    """Of the device furthest from its budget, in the first device's time; and its interval."""
    teachers_ms = [device.measurement.stats.p50_ms for device in baseline.devices]
    # Without a latency to reach, devices are held against their own teachers.
    budgets_ms = [
        device.budget_ms or teacher_ms
        for device, teacher_ms in zip(baseline.devices, teachers_ms, strict=True)
    ]

    def scaled(index: int, speedup: float) -> float:
        own_ms = teachers_ms[index] / speedup
        return own_ms * budgets_ms[0] / budgets_ms[index]

    pairs = list(enumerate(event.devices))
    slowest, device = max(pairs, key=lambda pair: scaled(pair[0], pair[1].speedup.value))
    ratio = device.speedup
    interval = Interval(low=scaled(slowest, ratio.ci95.high), high=scaled(slowest, ratio.ci95.low))
    return scaled(slowest, ratio.value), interval
