"""The run as a terminal table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgespiral.core.errors import first_few
from edgespiral.core.records.events import (
    Outcome,
)
from edgespiral.core.records.footprint import energy_text, memory_text
from edgespiral.core.records.measurement import (
    Verdict,
)
from edgespiral.report import formats
from edgespiral.report.budgets import (
    better_by_rounding,
    budget_margins,
    margin_text,
    sibling_text,
    siblings,
)
from edgespiral.report.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from edgespiral.core.records.events import Baseline, Event, TurnFinished

STYLES = {Verdict.MET: "green", Verdict.MISSED: "", Verdict.UNDECIDED: "yellow"}


def print_table(
    console: Console, events: Sequence[Event], *, are_doubts_told: bool = False
) -> None:
    """Turns, scores and latencies of a run, finished or not, for a terminal of 80 columns.

    A message is one line however long it is, for what reads it.

    Args:
        console: the terminal.
        events: the run's journal.
        are_doubts_told: the run has said them just now, so that their number is enough.

    Raises:
        RunFolderError: the journal holds no run.
    """
    console.print(_table(events, are_doubts_told=are_doubts_told), crop=False)


def _table(events: Sequence[Event], *, are_doubts_told: bool) -> RenderableType:
    run = Run.of(events)
    if run.baseline is None:
        return Text("the run has begun; its teacher is not measured yet")
    doubts = [f"warning: {doubt}" for doubt in run.doubts]
    if doubts and are_doubts_told:
        doubts = [f"warnings: {len(doubts)}, told above and in the report"]
    return Group(_turns(run, run.baseline), *_closing(run, run.baseline, doubts))


def _turns(run: Run, baseline: Baseline) -> Table:
    table = Table(title=_title(run, baseline), box=None, pad_edge=False)
    table.add_column("turn")
    metric = run.metric
    after_cut = f"after cut {metric.unit}".strip()
    for name in ("latency ms", "speed-up", metric.label, after_cut, "params", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("budget")
    facts = baseline.teacher
    table.add_row(
        "teacher",
        formats.ms(run.shown(baseline.devices).measurement.stats.p50_ms),
        "",
        f"{facts.validation_score:.2f}",
        "",
        formats.count(facts.parameter_count),
    )
    for turn in run.turns:
        is_best = run.finished is not None and turn.turn == run.finished.best_turn
        table.add_row(*_row(run, turn), style="bold" if is_best else "")
    return table


def _title(run: Run, baseline: Baseline) -> str:
    precision = "" if run.precision == "fp32" else f", students in {run.precision}"
    return f"{goal(run, baseline)}{precision}"


def goal(run: Run, baseline: Baseline) -> str:
    """What a run is to reach, in a few words."""
    budget_ms = run.shown(baseline.devices).budget_ms
    parts = [] if budget_ms is None else [f"{formats.ms(budget_ms)} ms"]
    parts += map(str, baseline.footprints)
    memory = run.shown(baseline.devices).memory
    parts += [] if memory is None else [memory_text(memory.limit_mib)]
    energy = run.shown(baseline.devices).energy
    parts += [] if energy is None or energy.limit_mj is None else [energy_text(energy.limit_mj)]
    if parts:
        return f"budget {', '.join(parts)}"
    kind = "smallest" if run.started.plan.get("smallest") else "fastest"
    return f"the {kind} within {run.max_drop:g} {run.metric.difference_unit}".strip()


def _row(run: Run, turn: TurnFinished) -> tuple[str | Text, ...]:
    device = run.shown(turn.devices)
    return (
        f"{turn.turn} {turn.sibling}".strip(),
        formats.ms(run.timing(device).latency_ms),
        f"{device.speedup.value:.2f}x",
        f"{turn.student.validation_score:.2f}",
        f"{turn.score_after_cut:.2f}",
        formats.count(turn.student.parameter_count),
        f"{sum(turn.seconds.values()):.1f}",
        Text(str(turn.verdict), style=STYLES[turn.verdict]),
    )


def _closing(run: Run, baseline: Baseline, doubts: Sequence[str]) -> list[Text]:
    finished = run.finished
    if finished is None:
        return [Text("the run is not finished; go on with --resume", style="yellow")]
    style = "bold green" if finished.outcome is Outcome.MET else "bold yellow"
    before, after = finished.teacher_test_score, finished.student_test_score
    teacher_ms = run.shown(baseline.devices).measurement.stats.p50_ms
    student_ms = run.timing(run.shown(run.best.devices)).latency_ms if run.best else teacher_ms
    ratio = run.shown(finished.devices).speedup
    speedup = f"{ratio.value:.2f}x ({formats.interval(ratio)})"
    return [
        *(Text(formats.race(race)) for race in (run.raced.races if run.raced else ())),
        *_precisions(run, baseline),
        *_sparsity(run),
        *_won_back(run),
        *_alternatives(run),
        Text(formats.evaluation(run.best.student if run.best else baseline.teacher, run.metric)),
        *(Text(doubt, style="yellow") for doubt in doubts),
        *_budgets(run),
        Text(f"{finished.outcome}: {finished.message}", style, no_wrap=True, overflow="ignore"),
        Text(f"{f'test {run.metric.name}':14} {formats.change(before, after, run.metric)}"),
        *(Text(f"{f'test {line[0]}':14} {line[1]}") for line in formats.beside(finished)),
        Text(f"median latency {formats.ms(teacher_ms)} -> {formats.ms(student_ms)} ms, {speedup}"),
        *_parts(run),
        *(Text(formats.frame(device)) for device in run.devices() if device.stages),
        *_devices(run),
    ]


def _alternatives(run: Run) -> list[Text]:
    """What might have shipped in the cut's place."""
    lines = [f"sibling {sibling_text(sibling, run.metric)}" for sibling in siblings(run)]
    rounded = better_by_rounding(run)
    return [Text(line) for line in (*lines, *([rounded] if rounded else []))]


def _budgets(run: Run) -> list[Text]:
    """Each budget with its margin."""
    return [
        Text(f"budget {margin_text(budget)}", style=STYLES[budget.verdict])
        for budget in budget_margins(run)
    ]


def _parts(run: Run) -> list[Text]:
    """What each part of the teacher and of the result takes, of a model that runs in parts."""
    return [
        Text(f"{name} on {device.target}: {formats.parts(measurement)}")
        for device in run.devices()
        for name, measurement in (("teacher", device.teacher), ("student", device.student))
        if measurement.parts
    ]


def _devices(run: Run) -> list[Text]:
    """What a run of several targets reached on each."""
    devices = run.devices()
    return (
        []
        if len(devices) == 1
        else [
            Text(
                f"on {device.target}  {formats.ms(device.teacher.stats.p50_ms)} -> "
                f"{formats.ms(device.timing.latency_ms)} ms, {device.speedup.value:.2f}x, "
                + (
                    f"budget {formats.ms(device.budget_ms)} ms {device.verdict}"
                    if device.budget_ms is not None
                    else "no budget"
                ),
                style=STYLES[device.verdict],
            )
            for device in devices
        ]
    )


def _sparsity(run: Run) -> list[Text]:
    """The zeros of the result, and what they buy."""
    sparsity = run.best.sparsity if run.best else None
    if sparsity is None:
        return []
    dense = [f"left dense: {first_few(formats.dense(sparsity))}"] if sparsity.left_dense else []
    lines = [f"sparsity {formats.zeros(sparsity)}", *dense, formats.sparse_gain(sparsity)]
    return [Text(line) for line in lines]


def _won_back(run: Run) -> list[Text]:
    """What was done about the rounding of the student that ships."""
    if run.best is None:
        return []
    training = run.best.quantised_training
    lines = (
        [f"trained with its rounding  {formats.quantised_training(training, run.metric)}"]
        if training
        else []
    )
    lines += [f"in float  {formats.restored(layer, run.metric)}" for layer in run.best.restored]
    return [Text(line) for line in lines]


def _precisions(run: Run, baseline: Baseline) -> list[Text]:
    """The teacher in each precision that was measured, and what was chosen."""
    if run.chosen is None or not run.chosen.trials:
        return []
    before = baseline.teacher.validation_score
    lines = [
        f"teacher in {trial.precision}  {trial.speedup.value:.2f}x, "
        f"{run.metric.text(trial.validation_score)} "
        f"({formats.points(before, trial.validation_score)})"
        for trial in run.chosen.trials
    ]
    lines += [f"cut in {mix.precision}  {formats.mix(mix)}" for mix in run.chosen.mixes]
    return [Text(line) for line in (*lines, f"precision {run.precision}: {run.chosen.reason}")]
