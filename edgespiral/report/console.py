"""What a console says of a run's records, in one place; a line of a step begins with two spaces.

Whoever writes a record hands its lines to the run's listener.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.measurement import doubts_about
from edgespiral.report import formats

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgespiral.core.records.events import (
        Baseline,
        FamilyMeasured,
        PointExplored,
        PointOutOfReach,
        PrecisionChosen,
        RateChosen,
        TurnFinished,
    )
    from edgespiral.core.records.measurement import Race
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.precisions import PrecisionMix, PrecisionTrial


def teacher(baseline: Baseline, metric: Metric, goal: str) -> list[str]:
    """What the teacher is, what is asked for, and what speaks against its figures."""
    latencies = ", ".join(f"{d.measurement.stats.p50_ms:.3g} ms" for d in baseline.devices)
    score = metric.named(baseline.teacher.validation_score)
    line = f"teacher: {score} on validation, {latencies}; {goal}"
    return [
        line,
        *doubts(
            [*baseline.doubts, *doubts_about(device.measurement for device in baseline.devices)]
        ),
    ]


def doubts(words: Iterable[str]) -> list[str]:
    """What speaks against a run's figures, a line each."""
    return [f"  warning: {doubt}" for doubt in words]


def races(outcomes: Sequence[Race]) -> list[str]:
    """Which runtime is the fastest on each device, and which do not run the model."""
    lines = []
    for race in outcomes:
        lines.append(f"runtime on {race.target}: {formats.race(race)}")
        lines += [f"  {formats.runtime(row)}: {row.refused}" for row in race.rows if row.refused]
    return lines


def trial(outcome: PrecisionTrial, baseline: Baseline, metric: Metric) -> list[str]:
    """What a precision does to the teacher."""
    before, after = baseline.teacher.validation_score, outcome.validation_score
    refused = f": {outcome.refused}" if outcome.refused else ""
    return [
        f"  teacher in {outcome.precision}: {outcome.speedup.value:.2f}x, {metric.text(after)} "
        f"({metric.difference(before, after)}){refused}"
    ]


def mix(outcome: PrecisionMix) -> list[str]:
    """What a cut to the budget in a precision loses."""
    return [f"  cut in {outcome.precision}: {formats.mix(outcome)}"]


def precision(chosen: PrecisionChosen) -> list[str]:
    """The precision of the run's students, where there was a choice."""
    return [f"precision: {chosen.precision} ({chosen.reason})"] if chosen.trials else []


def rate(chosen: RateChosen) -> list[str]:
    """The learning rate of a turn, and why that one."""
    return [f"  learning rate {chosen.learning_rate:.2g}: {chosen.reason}"]


def turn(done: TurnFinished, baseline: Baseline, metric: Metric, *, has_budget: bool) -> list[str]:
    """What a turn has come to."""
    several = len(done.devices) > 1
    pairs = zip(baseline.devices, done.devices, strict=True)
    reached = [
        f"{before.measurement.stats.p50_ms / device.speedup.value:.3g} ms, "
        f"{device.speedup.value:.2f}x{f' on {device.target}' if several else ''}"
        for before, device in pairs
    ]
    reached += [budget.text(budget.value(done.student)) for budget in baseline.footprints]
    reached += [str(device.memory) for device in done.devices if device.memory]
    reached += [str(device.energy) for device in done.devices if device.energy]
    score = f"{metric.named(done.student.validation_score)} on validation"
    what = "budget" if has_budget else "goal"
    own_doubts = doubts_about(device.measurement for device in done.devices)
    return [
        f"  {', '.join([score, *reached])}: {what} {done.verdict}",
        *doubts(own_doubts),
    ]


def family(measured: FamilyMeasured) -> list[str]:
    """How fast each sibling is, and which of them is trained."""
    verdicts = ", ".join(
        f"{sibling.name} {sibling.devices[0].speedup.value:.2f}x {sibling.verdict}"
        for sibling in measured.siblings
    )
    return [f"family: {verdicts}; {measured.trained or 'none'} is trained beside the cut"]


def sibling(done: TurnFinished, metric: Metric) -> list[str]:
    """What a sibling that was trained has come to."""
    score = metric.named(done.student.validation_score)
    return [f"  {done.sibling}: {score} on validation: budget {done.verdict}"]


def point(explored: PointExplored, label: str, latency_ms: float) -> list[str]:
    """What a point of an exploration is, which took `latency_ms`."""
    return [
        f"  {label}: {latency_ms:.3g} ms, {explored.divergence_nats:.3g} nats, "
        f"{explored.weight_share:.0%} of the weights"
    ]


def out_of_reach(beyond: PointOutOfReach, label: str) -> list[str]:
    """That an exploration has no cut that is so fast."""
    return [f"  {label}: no cut of one turn takes {beyond.target_ms:.3g} ms or less"]
