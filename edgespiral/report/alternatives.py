"""What a run could have shipped in its cut's place: siblings of the model, and rounding alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.records.result import SiblingResult
from edgespiral.report import formats

if TYPE_CHECKING:
    from edgespiral.core.records.metric import Metric
    from edgespiral.report.run import Run

# Latencies this near to each other are taken for the same.
SAME_LATENCY = 0.98


def siblings(run: Run) -> tuple[SiblingResult, ...]:
    """The plan's `family`, in its order; empty where there is none, or it was not measured yet."""
    if run.family is None:
        return ()
    trained = {turn.sibling: turn for turn in run.turns if turn.sibling}
    return tuple(
        SiblingResult(
            name=sibling.name,
            speedups={device.target: device.speedup for device in sibling.devices},
            parameter_count=sibling.footprint.parameter_count,
            verdict=sibling.verdict,
            validation_score=trained[sibling.name].student.validation_score
            if sibling.name in trained
            else None,
            ships=run.finished is not None
            and run.best is not None
            and run.best.sibling == sibling.name,
        )
        for sibling in run.family.siblings
    )


def sibling_text(sibling: SiblingResult, metric: Metric) -> str:
    """One of a family as a person would say it."""
    several = len(sibling.speedups) > 1
    speedups = ", ".join(
        f"{ratio.value:.2f}x{f' on {target}' if several else ''}"
        for target, ratio in sibling.speedups.items()
    )
    if sibling.validation_score is not None:
        came = f"{metric.named(sibling.validation_score)} on validation"
        came += ", ships" if sibling.ships else ", does not ship"
    elif sibling.verdict is Verdict.MET:
        came = "not trained, as a larger one is within the budget"
    else:
        came = f"not trained: budget {sibling.verdict}"
    count = formats.count(sibling.parameter_count)
    return f"{sibling.name}: {speedups}, {count} parameters, {came}"


def better_by_rounding(run: Run) -> str:
    """That the teacher in a lower precision, nothing cut, is better than what ships; else nothing.

    Known where the run measured precisions (`auto`).
    """
    best = run.best
    if run.chosen is None or best is None:
        return ""
    least, metric = SAME_LATENCY * run.shown(best.devices).speedup.value, run.metric
    score = best.student.validation_score
    better = [
        trial
        for trial in run.chosen.trials
        if trial.precision != "fp32"
        and trial.speedup.value >= least
        and metric.rank(trial.validation_score) > metric.rank(score)
    ]
    if not better:
        return ""
    trial = max(better, key=lambda trial: metric.rank(trial.validation_score))
    return (
        f"{trial.precision} alone, with nothing cut: {trial.speedup.value:.2f}x, "
        f"{metric.named(trial.validation_score)} on validation, better than what ships"
    )
