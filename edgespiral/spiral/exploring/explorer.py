"""Exploring a teacher: cuts to several latencies, built, timed and priced; nothing is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from edgespiral.core.errors import ModelError, RunFolderError, UsageError
from edgespiral.core.listener import say_all
from edgespiral.core.records.events import (
    Candidate,
    ExplorationPlanned,
    LossCalibrated,
    PointExplored,
    PointOutOfReach,
    RunStarted,
)
from edgespiral.core.records.widths import Widths
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.report import console
from edgespiral.spiral.baseline import baseline_of, budgets_of
from edgespiral.spiral.context import Stopwatch
from edgespiral.spiral.exploring.calibration import trained_cuts
from edgespiral.spiral.planning.latencies import LANDING_HIGH, LANDING_LOW
from edgespiral.spiral.planning.planner import OutOfReach
from edgespiral.spiral.planning.screening import STEP, Screen
from edgespiral.spiral.student.parent import Parents
from edgespiral.spiral.student.precision_search import Planners

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.records.events import Baseline, Event, OnDevices
    from edgespiral.core.records.schema import Precision
    from edgespiral.export.rebuilt import FreshProcess
    from edgespiral.spiral.context import Parent, RunContext
    from edgespiral.spiral.planning.planner import Planner
    from edgespiral.spiral.planning.search import Planned

# All cuts are of the teacher itself.
TURN = 1
# Compared as a whole in all of an exploration, and for each of its latencies at least.
MOST_COMPARED, LEAST_COMPARED = 120, 2 * STEP
# Less between the teacher and its narrowest cut is not worth a front.
LEAST_RANGE = 1.05


@dataclass(frozen=True)
class Prices:
    """What cuts do to the teacher's outputs, and keep of its weights; a cut is run once.

    Attributes:
        damages: divergences of cuts' outputs, in nats a sample; infinite where one has none.
        weight_count: how many weights a cut keeps.
        uncut: the teacher's own widths.
    """

    damages: Callable[[Sequence[Widths]], Sequence[float]]
    weight_count: Callable[[Mapping[str, int]], float]
    uncut: Widths
    _prices: dict[Widths, float] = field(init=False, default_factory=dict)

    def divergence_nats(self, widths: Widths) -> float:
        """Of a cut."""
        if widths not in self._prices:
            (self._prices[widths],) = self.damages([widths])
        return self._prices[widths]

    def weight_share(self, widths: Mapping[str, int]) -> float:
        """Of the teacher's weights, those that a cut keeps."""
        return self.weight_count(widths) / self.weight_count(self.uncut)

    def of_trained(self, widths: Widths) -> tuple[float, float] | None:
        """Both of a cut that another run has trained; None where its groups are others."""
        if widths.keys() != self.uncut.keys():
            return None
        divergence_nats = self.divergence_nats(widths)
        return (divergence_nats, self.weight_share(widths)) if divergence_nats < math.inf else None


class _Ready(NamedTuple):
    """What exploring a point takes."""

    baseline: Baseline
    planner: Planner
    parent: Parent
    prices: Prices


@dataclass
class Explorer:
    """One exploration. What is found is journalled, so it can be interrupted anywhere.

    Attributes:
        context: of the plan, whose budget is how far to look.
        fresh: where saved models are run as others will run them.
        points: how many latencies to look at.
        trained: run folders that may say what a nat costs.
    """

    context: RunContext
    fresh: FreshProcess
    points: int
    trained: Sequence[Path] = ()

    def run(self) -> None:
        """Explore what is not yet explored.

        Raises:
            EdgeSpiralError: with everything done so far kept in the folder.
        """
        context = self.context
        baseline = baseline_of(context, self.fresh)
        budget = budgets_of(context.plan.budgets, baseline)
        planners = Planners(context, baseline, self._parents, budget.goal_ms)
        try:
            ready = self._ready(planners.settled(budget), planners.teacher(Stopwatch()), baseline)
            planned = self._planned(ready, budget.goal_ms)
            for number, target_ms in enumerate(planned.targets_ms, start=1):
                if not self._is_explored(target_ms):
                    label = f"point {number} of {len(planned.targets_ms)}"
                    self._explore(label, target_ms, ready)
            self._calibrate(ready)
        finally:
            planners.close()

    def _ready(self, planner: Planner, parent: Parent, baseline: Baseline) -> _Ready:
        damages = self.context.scorer.damage_of_cuts(parent.source, parent.importance, TURN)
        return _Ready(
            baseline,
            planner,
            parent,
            Prices(damages, planner.weight_count, Widths(baseline.widths)),
        )

    def _planned(self, ready: _Ready, furthest_ms: float) -> ExplorationPlanned:
        """The latencies to look at: settled once, then asked of the journal."""
        earlier = [event for event in self._events() if isinstance(event, ExplorationPlanned)]
        if earlier:
            self._require_same_count(earlier[-1])
            return earlier[-1]
        planner, parent = ready.planner, ready.parent
        start_ms = planner.start_ms
        with self.context.listener.steps("measuring the fastest cut"):
            fastest_ms = planner.fastest_of_turn_ms(TURN, parent.source, parent.importance)
        last_ms = furthest(start_ms, fastest_ms=fastest_ms, asked_ms=furthest_ms)
        planned = ExplorationPlanned(
            start_ms=start_ms,
            fastest_ms=fastest_ms,
            targets_ms=latencies_between(start_ms, last_ms, self.points),
        )
        self.context.journal.append(planned)
        return planned

    def _require_same_count(self, planned: ExplorationPlanned) -> None:
        if len(planned.targets_ms) != self.points:
            raise RunFolderError(
                f"this folder explores {len(planned.targets_ms)} points, not {self.points}",
                where=str(self.context.out),
                hint="choose another --out, or ask for as many",
            )

    def _is_explored(self, target_ms: float) -> bool:
        kinds = (PointExplored, PointOutOfReach)
        return any(isinstance(e, kinds) and e.target_ms == target_ms for e in self._events())

    def _explore(self, label: str, target_ms: float, ready: _Ready) -> None:
        context = self.context
        with context.listener.steps(f"{label}: planning") as advance:
            screen = self._screen(ready, advance)
            chosen = ready.planner.plan(
                TURN,
                ready.parent.source,
                ready.parent.importance,
                target_ms=target_ms,
                allocation=context.plan.allocation,
                screen=screen if context.plan.allocation == "latency" else None,
            )
        if isinstance(chosen, OutOfReach):
            event = PointOutOfReach(target_ms=target_ms, fastest_ms=chosen.fastest_ms)
            context.journal.append(event)
            say_all(context.listener, console.out_of_reach(event, label))
            return
        point = self._point(target_ms, chosen, ready, len(screen.prices))
        context.journal.append(point)
        say_all(context.listener, console.point(point, label, chosen.latency_ms))

    def _screen(self, ready: _Ready, heard: Callable[[int, int, str], None]) -> Screen:
        """What compares whole cuts for one latency."""
        affordable = max(LEAST_COMPARED, MOST_COMPARED // self.points)
        numbers = count(1)

        def damages(cuts: Sequence[Widths]) -> list[float]:
            for _ in cuts:
                heard(next(numbers), affordable, "")
            return list(map(ready.prices.divergence_nats, cuts))

        return Screen(damages, ready.planner.weight_count, affordable, self.context.plan.seed)

    def _point(
        self, target_ms: float, chosen: Planned, ready: _Ready, compared: int
    ) -> PointExplored:
        planner, prices = ready.planner, ready.prices
        divergence_nats = prices.divergence_nats(chosen.widths)
        if divergence_nats == math.inf:
            raise ModelError(
                f"cut to {target_ms:.3g} ms its outputs are not finite",
                hint="ask for less speed with --speedup",
            )
        teachers_ms = {
            device.target: device.measurement.stats.p50_ms for device in ready.baseline.devices
        }
        return PointExplored(
            target_ms=target_ms,
            precision=planner.precision,
            widths=dict(chosen.widths),
            devices=self._devices(chosen.widths, planner.precision),
            speedups={
                target: teacher_ms / own_ms
                for (target, own_ms), teacher_ms in zip(
                    planner.own_ms(target_ms).items(), teachers_ms.values(), strict=True
                )
            },
            divergence_nats=divergence_nats,
            weight_share=prices.weight_share(chosen.widths),
            compared=compared,
        )

    def _devices(self, widths: Widths, precision: Precision) -> OnDevices:
        """The last measurement of a cut, which is the longest."""
        return next(
            event.devices
            for event in reversed(self._events())
            if isinstance(event, Candidate)
            and (Widths(event.widths), event.precision) == (widths, precision)
        )

    def _calibrate(self, ready: _Ready) -> None:
        """Look at what finished runs have trained; what the journal has of it is told anew."""
        events, metric = self._events(), self.context.task.metric
        started = next(event for event in events if isinstance(event, RunStarted))
        cuts = trained_cuts(
            self.trained,
            teacher_sha256=started.teacher_sha256,
            metric=metric,
            precision=ready.planner.precision,
            damage=ready.prices.of_trained,
            say=self.context.listener.say,
        )
        self.context.listener.say(
            f"  trained cuts that tell what a nat costs in {metric.label}: {len(cuts)}"
        )
        calibrated = LossCalibrated(cuts=tuple(cuts))
        before = [event for event in events if isinstance(event, LossCalibrated)]
        if not before or before[-1] != calibrated:
            self.context.journal.append(calibrated)

    @cached_property
    def _parents(self) -> Parents:
        return Parents(self.context.scorer, self.context.distiller, 0.0, self.context.out)

    def _events(self) -> list[Event]:
        return self.context.journal.read()


def furthest(start_ms: float, *, fastest_ms: float, asked_ms: float) -> float:
    """The latency that an exploration ends at: what is asked for, or where no cut goes beyond.

    Args:
        start_ms: of the uncut model.
        fastest_ms: of the narrowest cut.
        asked_ms: how far to look.

    Raises:
        ModelError: cutting makes the model no faster.
    """
    if fastest_ms * LEAST_RANGE > start_ms:
        raise ModelError(
            f"the narrowest cut takes {fastest_ms:.3g} ms, the model as it is {start_ms:.3g}",
            hint="there is no speed to be had from cutting it on this device",
        )
    # What lands is a little faster than what is asked for.
    reach_ms = fastest_ms / ((LANDING_LOW + LANDING_HIGH) / 2)
    return min(max(asked_ms, reach_ms), start_ms / LEAST_RANGE)


def latencies_between(start_ms: float, last_ms: float, count: int) -> tuple[float, ...]:
    """So many latencies from `start_ms`, which is none of them, to `last_ms`, in equal ratios.

    Example:
        >>> [round(latency_ms, 3) for latency_ms in latencies_between(8.0, 1.0, 3)]
        [4.0, 2.0, 1.0]
    """
    ratio = last_ms / start_ms
    return tuple(start_ms * math.pow(ratio, step / count) for step in range(1, count + 1))


def require_untrained(criterion: str) -> None:
    """Refuse a criterion that would train the teacher.

    Raises:
        UsageError: it does.
    """
    if CRITERIA.get(criterion).trains_scales:
        raise UsageError(
            f"{criterion} trains the model before it scores it, and exploring trains nothing",
            where="--criterion",
            hint="explore with another, such as fisher",
        )
