"""What a run was to reach, by how much its result does, and what else might have shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.records.result import BudgetMargin, SiblingResult
from edgespiral.report import formats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.core.records.events import Baseline, ModelFacts
    from edgespiral.core.records.footprint import Energy, FootprintBudget, PeakMemory
    from edgespiral.core.records.metric import Metric
    from edgespiral.report.run import OnTarget, Run


# Latencies this near to each other are taken for the same.
SAME_LATENCY = 0.98


def budget_margins(run: Run) -> tuple[BudgetMargin, ...]:
    """Every budget of a run with its margin; none before the teacher is measured.

    Scores are those on the validation split, which steer the run.
    """
    return tuple(_margins(run, run.baseline)) if run.baseline else ()


def margin_text(budget: BudgetMargin) -> str:
    """A budget as a person would say it, with what the result takes of it."""
    value, limit = _figure(budget, budget.value), _figure(budget, budget.limit)
    margin = f"{abs(budget.margin):.3g} {budget.margin_unit}".strip()
    # What is within a floor lies above it.
    side = (budget.value - budget.limit) * budget.margin
    if side == 0:
        return f"{budget.name}: {value}, which is its limit"
    bound, missed = ("at least", "too little") if side > 0 else ("at most", "too much")
    outcome = "to spare" if budget.margin > 0 else missed
    return f"{budget.name}: {value} of {bound} {limit}, {margin} {outcome}"


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


def _margins(run: Run, baseline: Baseline) -> Iterator[BudgetMargin]:
    model = run.best.student if run.best else baseline.teacher
    several = len(baseline.devices) > 1
    for device in run.devices():
        if device.budget_ms is not None:
            yield _latency(device, device.budget_ms, several=several)
            yield from _frame(device, device.budget_ms, several=several)
        if device.memory is not None:
            yield _memory(device.target, device.memory, several=several)
        if device.energy is not None and device.energy.limit_mj is not None:
            yield _energy(device.target, device.energy, device.energy.limit_mj, several=several)
    for budget in baseline.footprints:
        yield _footprint(budget, model)
    yield _score(run, baseline, model)


def _latency(device: OnTarget, budget_ms: float, *, several: bool) -> BudgetMargin:
    value = device.timing.latency_ms
    return BudgetMargin(
        name=f"latency on {device.target}" if several else "latency",
        unit="ms",
        limit=budget_ms,
        value=value,
        margin=100 * (1 - value / budget_ms),
        margin_unit="%",
        verdict=device.verdict,
    )


def _frame(device: OnTarget, left_ms: float, *, several: bool) -> Iterator[BudgetMargin]:
    """That of a whole frame: the network's budget, and what runs around it."""
    if device.stages is None or device.whole_after is None:
        return
    limit_ms, value_ms = left_ms + device.stages.most_ms, device.whole_after.p50_ms
    yield BudgetMargin(
        name=f"whole frame on {device.target}" if several else "whole frame",
        unit="ms",
        limit=limit_ms,
        value=value_ms,
        margin=100 * (1 - value_ms / limit_ms),
        margin_unit="%",
        verdict=device.verdict,
    )


def _memory(target: str, memory: PeakMemory, *, several: bool) -> BudgetMargin:
    return BudgetMargin(
        name=f"memory on {target}" if several else "memory",
        unit="MiB",
        limit=memory.limit_mib,
        value=memory.peak_mib,
        margin=100 * (1 - memory.share),
        margin_unit="%",
        verdict=memory.verdict,
    )


def _energy(target: str, energy: Energy, limit_mj: float, *, several: bool) -> BudgetMargin:
    return BudgetMargin(
        name=f"energy on {target}" if several else "energy",
        unit="mJ",
        limit=limit_mj,
        value=energy.inference_mj,
        margin=100 * (1 - energy.share),
        margin_unit="%",
        verdict=energy.verdict,
    )


def _footprint(budget: FootprintBudget, model: ModelFacts) -> BudgetMargin:
    return BudgetMargin(
        name=budget.kind,
        unit="bytes" if budget.kind == "size" else "",
        limit=budget.limit,
        value=budget.value(model),
        margin=100 * (1 - budget.share(model)),
        margin_unit="%",
        verdict=budget.verdict(model),
    )


def _score(run: Run, baseline: Baseline, model: ModelFacts) -> BudgetMargin:
    metric = run.metric
    floor = metric.floor(baseline.teacher.validation_score, run.max_drop)
    score = model.validation_score
    return BudgetMargin(
        name=metric.name,
        unit=metric.unit,
        limit=floor,
        value=score,
        margin=metric.lost(score, floor),
        margin_unit=metric.difference_unit,
        verdict=Verdict.MET if metric.holds(score, floor) else Verdict.MISSED,
    )


def _figure(budget: BudgetMargin, value: float) -> str:
    if budget.unit == "bytes":
        return formats.mib(value)
    if budget.unit in ("ms", "mJ"):
        return f"{formats.ms(value)} {budget.unit}"
    if not budget.unit and budget.margin_unit == "%":
        return f"{value:.0f}"
    return f"{value:.2f} {budget.unit}".strip()
