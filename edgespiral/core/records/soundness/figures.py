"""Figures that no run can have come to: a journal is not signed, and a hand may have been at it.

What one record says by itself it checks itself, such as that a median is that of its samples. Here
is what follows from the records before it: what its scores are of, what its budgets were, and how
fast the teacher was.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgespiral.core.records.events import (
    Baseline,
    Candidate,
    FamilyMeasured,
    Outcome,
    PointExplored,
    RunFinished,
    RunStarted,
    TurnFinished,
)
from edgespiral.core.records.footprint import footprint_budgets
from edgespiral.core.records.inspection import channels_of
from edgespiral.core.records.measurement import SAME, Verdict
from edgespiral.core.records.metric import Figure
from edgespiral.core.records.schema import Record
from edgespiral.core.records.soundness.walk import require_each
from edgespiral.core.stages.latencies import network_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from edgespiral.core.records.events import Event, OnDevice
    from edgespiral.core.records.metric import Metric

# By how much a device may be faster or slower at one time than at another: a speed-up is measured
# in pairs, and stands beside medians that were taken hours apart, on machines that do other work.
MOST_DRIFT = 100.0
# A verdict and the interval that is shown come from two statistics of the same samples.
LEAST_CONTRADICTION = 1.1
# Differences of scores, which are no scores.
DIFFERENCES = frozenset({"score_gain"})


def require_figures(events: Iterable[Event], path: Path) -> None:
    """Refuse a journal with a figure that cannot be.

    Args:
        events: all of the journal's records, in an order in which a run writes them.
        path: the journal's, which the error names with the line.

    Raises:
        RunFolderError: a score, a speed-up, a verdict, a width or the plan of a record is
            impossible beside the records before it.
    """
    hint = "no run has written that: put the journal back, or choose another --out"
    require_each(events, _Figures(), path, hint)


class _Figures:
    """What the records of a journal have told so far."""

    def __init__(self) -> None:
        self._started: RunStarted | None = None
        self._baseline: Baseline | None = None
        self._turns: dict[int, TurnFinished] = {}

    def add(self, event: Event) -> None:
        """Take in the next record."""
        if isinstance(event, RunStarted):
            self._started = event
        elif isinstance(event, Baseline):
            self._baseline = event
        elif isinstance(event, TurnFinished):
            self._turns[event.turn] = event

    def problem_of(self, event: Event) -> str | None:
        """Which figure of this record cannot be; None where each can."""
        try:
            self._require(event)
        except ValidationError:
            return "its plan asks for what cannot be"
        except ValueError as error:
            return str(error)
        return None

    def _require(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            _require_plan(event)
        if self._started is not None:
            require_scores(event, self._started.metric)
            if isinstance(event, Baseline):
                _require_plan_of(event, self._started)
        if isinstance(event, Baseline | TurnFinished):
            _require_own_file(event)
        if isinstance(event, TurnFinished):
            _require_seconds(event)
        if self._baseline is not None:
            self._require_beside(event, self._baseline)

    def _require_beside(self, event: Event, baseline: Baseline) -> None:
        """Refuse what cannot be beside the teacher and the turns before."""
        _require_widths(event, baseline)
        if isinstance(event, TurnFinished):
            _require_verdict(event, baseline)
        for devices in _measured(event):
            _require_paired(devices, baseline.devices)
        if isinstance(event, RunFinished | FamilyMeasured):
            self._require_outcome(event)
        if isinstance(event, RunFinished):
            self._require_figures_of_best(event)

    def _require_figures_of_best(self, finished: RunFinished) -> None:
        """A run ends with what its best turn has come to, or its teacher."""
        source = self._turns.get(finished.best_turn) or self._baseline
        for device, own in zip(finished.devices, source.devices if source else (), strict=False):
            if (device.measurement, device.speedup) != (own.measurement, own.speedup):
                raise ValueError(
                    f"other figures on {device.target} than turn {finished.best_turn} has"
                )

    def _require_outcome(self, finished: RunFinished | FamilyMeasured) -> None:
        if finished.outcome is Outcome.ALREADY_MET and finished.best_turn:
            raise ValueError(f"the teacher met the budget, and turn {finished.best_turn} ships")
        best = self._turns.get(finished.best_turn)
        if finished.outcome is not Outcome.MET:
            return
        if best is None:
            raise ValueError("the budget is met, and no turn ships")
        if best.verdict is not Verdict.MET:
            raise ValueError(f"the budget is met, and turn {best.turn} has it {best.verdict}")
        if self._started is None or self._baseline is None:
            return
        metric, max_drop = self._started.metric, float(str(self._started.plan["max_drop"]))
        floor = metric.floor(self._baseline.teacher.validation_score, max_drop)
        if not metric.holds(best.student.validation_score, floor):
            score = metric.named(best.student.validation_score)
            raise ValueError(f"the budget is met, and {score} is worse than {floor:g}")


def require_scores(record: Record, metric: Metric) -> None:
    """Refuse scores that no model can have.

    Args:
        record: which may have others within it.
        metric: what its scores are of; figures beside them say themselves.

    Raises:
        ValueError: a score, with its name, is none.
    """
    for name in type(record).model_fields:
        value = getattr(record, name)
        if isinstance(value, int | float) and "score" in name.split("_"):
            if name not in DIFFERENCES:
                metric.require_possible(value)
            continue
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Figure):
                part.metric.require_possible(part.value)
            elif isinstance(part, Record):
                require_scores(part, metric)


def _require_plan(started: RunStarted) -> None:
    """Refuse a plan that lacks what reports read of it, or has something else there."""
    plan = started.plan
    targets, max_drop = plan.get("target"), plan.get("max_drop")
    named = targets if isinstance(targets, list) else [targets]
    subjects = [plan.get("model"), plan.get("data"), *named]
    if not named or not all(isinstance(name, str) for name in subjects):
        raise ValueError("its plan names no model, data and targets")
    if isinstance(max_drop, bool) or not isinstance(max_drop, int | float) or not max_drop >= 0:
        raise ValueError("its plan has no max_drop")


def _require_plan_of(baseline: Baseline, started: RunStarted) -> None:
    targets = started.plan["target"]
    named = targets if isinstance(targets, list) else [targets]
    if len(baseline.devices) != len(named):
        raise ValueError(f"is of {len(baseline.devices)} devices, the plan of {len(named)}")
    if any(device.speedup.value != 1 for device in baseline.devices):
        raise ValueError("the teacher is not as fast as itself")
    for device, target in zip(baseline.devices, named, strict=True):
        _require_budget(device, started.plan, str(target))
    plan, limits = started.plan, [budget.limit for budget in baseline.footprints]
    size_mib, parameters = _number(plan.get("size_mib")), _number(plan.get("parameters"))
    of_plan = footprint_budgets(size_mib, parameters, baseline.teacher)
    planned = [budget.limit for budget in of_plan]
    if len(planned) != len(limits) or not all(map(_is_same, planned, limits)):
        raise ValueError("its budgets of size are not those of the plan")


def _require_budget(teacher: OnDevice, plan: Mapping[str, object], target: str) -> None:
    """Refuse another budget for a target than the plan and the teacher's latency make it."""
    is_same = [_is_same(_budget_ms(teacher, plan, target), teacher.budget_ms)]
    # Journals of before have no limits in their plan.
    limit_mib, limit_mj = (_limit(plan.get(key), target) for key in ("memory_mib", "energy_mj"))
    if teacher.memory is not None and limit_mib is not None:
        is_same.append(_is_same(limit_mib, teacher.memory.limit_mib))
    if teacher.energy is not None and limit_mj is not None:
        is_same.append(_is_same(limit_mj, teacher.energy.limit_mj or 0.0))
    if not all(is_same):
        raise ValueError(f"the budget on {teacher.target} is not that of the plan")


def _budget_ms(teacher: OnDevice, plan: Mapping[str, object], target: str) -> float | None:
    """What a plan asks of the network's latency on a target; None where it asks nothing."""
    of_plan = {kind: plan.get(kind) for kind in ("latency_ms", "speedup")}
    own = {
        kind: value[target]
        for kind, value in of_plan.items()
        if isinstance(value, dict) and value.get(target) is not None
    }
    kinds = own or of_plan
    latency_ms, speedup = _number(kinds.get("latency_ms")), _number(kinds.get("speedup"))
    if not speedup and latency_ms is None:
        return None
    stages = teacher.stages if plan.get("timed") == "pipeline" else None
    around_ms = 0.0 if stages is None else stages.most_ms
    teacher_ms = teacher.measurement.stats.p50_ms + around_ms
    budget_ms = teacher_ms / speedup if speedup else latency_ms
    return network_ms(budget_ms, around_ms) if budget_ms and around_ms else budget_ms


def _limit(value: object, target: str) -> float | None:
    """What a target may take, of one limit for all or of one for each."""
    return _number(value.get(target) if isinstance(value, dict) else value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _is_same(planned: float | None, recorded: float | None) -> bool:
    if planned is None or recorded is None:
        return planned is recorded
    return math.isclose(planned, recorded, rel_tol=SAME)


def _require_own_file(event: Baseline | TurnFinished) -> None:
    """What was measured is what was kept; journals of before may have no hash of it."""
    sha256 = event.files.get("model.onnx")
    for device in event.devices:
        if sha256 is not None and device.measurement.model_sha256 != sha256:
            raise ValueError(f"on {device.target} another model.onnx was measured than was kept")


def _require_widths(event: Event, baseline: Baseline) -> None:
    widths = event.widths if isinstance(event, Candidate | TurnFinished | PointExplored) else {}
    for name, width in widths.items():
        most = baseline.widths.get(name, width)
        if not 0 <= width <= most:
            raise ValueError(f"{name} has a width of {width}, of {most} in the teacher")
    if isinstance(event, TurnFinished) and not event.sibling:
        _require_layers(event.layers, baseline)


def _require_layers(layers: Mapping[str, int], baseline: Baseline) -> None:
    """No layer of a cut is wider than it was."""
    before = channels_of(baseline.network)
    for name, channels in layers.items():
        most = before.get(name, channels)
        if channels > most:
            raise ValueError(f"{name} has {channels} channels, of {most} in the teacher")


def _require_verdict(done: TurnFinished, baseline: Baseline) -> None:
    """A turn's verdict is that of all its budgets together."""
    budgeted = [device for device in done.devices if device.budget_ms is not None]
    memories = [device.memory.verdict for device in done.devices if device.memory is not None]
    energies = [device.energy.verdict for device in done.devices if device.energy is not None]
    sizes = [budget.verdict(done.student) for budget in baseline.footprints]
    verdicts = [device.verdict for device in budgeted] + memories + energies + sizes
    if not verdicts or None in verdicts:
        return
    is_met = all(verdict is Verdict.MET for verdict in verdicts)
    if is_met != (done.verdict is Verdict.MET):
        raise ValueError(
            f"its budgets are {', '.join(map(str, verdicts))}, and together {done.verdict}"
        )


def _require_seconds(done: TurnFinished) -> None:
    for phase, seconds in done.seconds.items():
        if seconds < 0:
            raise ValueError(f"{phase} took {seconds:g} s")


def _measured(event: Event) -> Iterator[tuple[OnDevice, ...]]:
    """Models that were measured in pairs with the teacher, each on the run's devices."""
    if isinstance(event, Candidate | TurnFinished | RunFinished | PointExplored):
        yield event.devices
    elif isinstance(event, FamilyMeasured):
        yield from (sibling.devices for sibling in event.siblings)


def _require_paired(devices: Iterable[OnDevice], teachers: Iterable[OnDevice]) -> None:
    """Refuse what cannot have been measured beside the teacher on the same devices."""
    for device, teacher in zip(devices, teachers, strict=False):
        teacher_ms = teacher.measurement.stats.p50_ms
        ratio = teacher_ms / device.measurement.stats.p50_ms
        if not 1 / MOST_DRIFT < device.speedup.value / ratio < MOST_DRIFT:
            raise ValueError(
                f"a speed-up of {device.speedup.value:g} on {device.target}, where the teacher "
                f"takes {teacher_ms:g} ms and this {device.measurement.stats.p50_ms:g} ms"
            )
        # Where none was asked for, candidates have what they were aimed at.
        budgets_ms = {own.budget_ms for own in (device, teacher)} - {None}
        if teacher.budget_ms is not None and len(budgets_ms) > 1:
            raise ValueError(
                f"a budget of {device.budget_ms:g} ms on {device.target}, of "
                f"{teacher.budget_ms} ms when the run began"
            )
        limits_mib = {own.memory.limit_mib for own in (device, teacher) if own.memory}
        if len(limits_mib) > 1:
            raise ValueError(f"another limit of memory on {device.target} than the teacher's")
        limits_mj = {own.energy.limit_mj for own in (device, teacher) if own.energy}
        if len(limits_mj) > 1:
            raise ValueError(f"another limit of energy on {device.target} than the teacher's")
        if teacher.stages is not None and device.whole is not None:
            teacher.stages.require_whole(device.whole, device.measurement.rounds_ms)
        _require_device_verdict(device, teacher_ms)


def _require_device_verdict(device: OnDevice, teacher_ms: float) -> None:
    """A verdict may be of a time or of a speed-up; one of the two has to bear it."""
    own, ratio = device.measurement.stats.p50_ci95_ms, device.speedup.ci95
    if device.budget_ms is None:
        return
    fastest_ms = min(own.low, teacher_ms / ratio.high)
    slowest_ms = max(own.high, teacher_ms / ratio.low)
    too_slow = device.verdict is Verdict.MET and fastest_ms > LEAST_CONTRADICTION * device.budget_ms
    too_fast = (
        device.verdict is Verdict.MISSED and LEAST_CONTRADICTION * slowest_ms < device.budget_ms
    )
    if too_slow or too_fast:
        raise ValueError(
            f"{fastest_ms:g} to {slowest_ms:g} ms on {device.target} is told to have "
            f"{device.verdict} a budget of {device.budget_ms:g} ms"
        )
