"""What a run was to reach, budget by budget, and by how much its result does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.records.result import BudgetMargin
from edgespiral.report import formats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.core.records.events import Baseline, ModelFacts
    from edgespiral.core.records.footprint import FootprintBudget
    from edgespiral.report.run import OnTarget, Run


def budget_margins(run: Run) -> tuple[BudgetMargin, ...]:
    """Every budget of a run with its margin; none before the teacher is measured.

    Scores are those on the validation split, which steer the run.
    """
    return tuple(_margins(run, run.baseline)) if run.baseline else ()


def margin_text(budget: BudgetMargin) -> str:
    """A budget as a person would say it, with what the result takes of it."""
    side = "within" if budget.margin >= 0 else "beyond"
    margin = f"{abs(budget.margin):.3g} {budget.margin_unit}".strip()
    return (
        f"{budget.name}: {_figure(budget, budget.value)} of {_figure(budget, budget.limit)}, "
        f"{margin} {side}"
    )


def _margins(run: Run, baseline: Baseline) -> Iterator[BudgetMargin]:
    model = run.best.student if run.best else baseline.teacher
    for device in run.devices():
        if device.budget_ms is not None:
            yield _latency(device, device.budget_ms, several=len(baseline.devices) > 1)
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
    if budget.unit == "ms":
        return f"{formats.ms(value)} ms"
    if not budget.unit and budget.margin_unit == "%":
        return f"{value:.0f}"
    return f"{value:.2f} {budget.unit}".strip()
