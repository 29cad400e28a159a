"""A sweep as a table for the terminal, as CSV and as one HTML file."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from rich.table import Table

from edgespiral.report import formats
from edgespiral.report.drawing import svg
from edgespiral.report.drawing.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from edgespiral.report.drawing.svg import Axes, Scale
from edgespiral.report.html import template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup
    from rich.console import Console

    from edgespiral.core.records.comparing.sweep import Sweep, SweptPoint, SweptRun
    from edgespiral.core.records.metric import Metric

DASH = "\N{EN DASH}"
FIGURES = (
    *("exit_code", "outcome", "problem", "precision"),
    *("validation_score", "test_score", "size_bytes", "parameter_count"),
)
ON_DEVICE = (
    *("target", "latency_ms", "latency_low_ms", "latency_high_ms", "speedup"),
    "energy_mj",
)


def print_sweep(console: Console, sweep: Sweep) -> None:
    """Show what became of each run."""
    table = Table(box=None, pad_edge=False)
    for name in (*sweep.vary, "outcome", "latency ms", "test score"):
        table.add_column(name, no_wrap=True)
    for run in sweep.runs:
        table.add_row(*map(_shown, run.values.values()), status(run), _latencies(run), _score(run))
    console.print(table, crop=False)
    for run in sweep.runs:
        if run.name in sweep.best:
            console.print(f"best of the search: {_best(run, sweep)}", soft_wrap=True)


def _best(run: SweptRun, sweep: Sweep) -> str:
    assert sweep.metric is not None
    assert run.validation_score is not None
    settings = ", ".join(f"{name} {_shown(value)}" for name, value in run.values.items())
    return f"{settings}: validation {sweep.metric.named(run.validation_score)}, in {run.name}"


def status(run: SweptRun) -> str:
    """What became of a run."""
    if run.problem is not None:
        return f"failed: {run.problem}"
    return str(run.outcome) if run.outcome is not None else "not ended"


def sweep_csv(sweep: Sweep) -> str:
    """A row for each run on each of its targets, and one without a target for what has none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *sweep.vary, *FIGURES, *ON_DEVICE])
    for run in sweep.runs:
        figures = [getattr(run, name) for name in FIGURES]
        row = [run.name, *map(_shown, run.values.values()), *figures]
        for device in run.devices:
            interval = device.ci95_ms
            latency = (device.latency_ms, interval.low, interval.high, device.speedup)
            writer.writerow([*row, device.target, *latency, device.energy_mj])
        if not run.devices:
            writer.writerow([*row, *("" for _ in ON_DEVICE)])
    return text.getvalue()


def sweep_html(sweep: Sweep) -> str:
    """The page of a sweep: of each target the front, and a table of all runs."""
    metric, targets = sweep.metric, list(dict.fromkeys(p.target for p in sweep.points))
    fronts = []
    if metric is not None:
        for number, target in enumerate(targets):
            points = [point for point in sweep.points if point.target == target]
            fronts.append(
                (target, _chart(f"front-{number}", points, metric), _rows(points, metric))
            )
    runs = [
        (run, list(map(_shown, run.values.values())), status(run), _latencies(run), _score(run))
        for run in sweep.runs
    ]
    return template("sweep.html.j2").render(sweep=sweep, fronts=fronts, runs=runs)


def _rows(points: Sequence[SweptPoint], metric: Metric) -> list[tuple[int, SweptPoint, list[str]]]:
    return [
        (
            number,
            point,
            [
                ", ".join(f"{name} {_shown(value)}" for name, value in point.values.items()),
                formats.ms(point.latency_ms),
                f"{formats.ms(point.latency_ci95_ms.low)}{DASH}"
                f"{formats.ms(point.latency_ci95_ms.high)}",
                metric.text(point.score),
                _score_interval(point),
                f"{formats.count(point.size_bytes)}B",
                DASH if point.energy_mj is None else f"{point.energy_mj:.4g} mJ",
                str(len(point.runs)),
            ],
        )
        for number, point in enumerate(points, start=1)
    ]


def _score_interval(point: SweptPoint) -> str:
    interval = point.score_ci95
    return DASH if interval is None else f"{interval.low:.2f} to {interval.high:.2f}"


def _chart(name: str, points: Sequence[SweptPoint], metric: Metric) -> Markup:
    """Latency against score, each point with both of its intervals."""
    times = [edge for p in points for edge in (p.latency_ci95_ms.low, p.latency_ci95_ms.high)]
    scores = [edge for point in points for edge in _score_edges(point)]
    axes = Axes(Scale.around(times, LEFT, RIGHT, 0.08), Scale.around(scores, BOTTOM, TOP, 0.1))
    caption = "; ".join(
        f"{number} {metric.text(p.score)} in {formats.ms(p.latency_ms)} ms"
        for number, p in enumerate(points, start=1)
    )
    return svg.drawing(
        name,
        (WIDTH, HEIGHT),
        (f"Latency against test {metric.name}", f"{caption}."),
        axes.draw(("median latency, ms", f"test {metric.label}")),
        *(mark for number, p in enumerate(points, start=1) for mark in _marks(axes, number, p)),
    )


def _marks(axes: Axes, number: int, point: SweptPoint) -> list[Markup]:
    x, y = axes.x(point.latency_ms), axes.y(point.score)
    low, high = _score_edges(point)
    kind = "student" if point.on_front else "dominated"
    times = point.latency_ci95_ms
    return [
        svg.line((axes.x(times.low), y), (axes.x(times.high), y), class_="spread"),
        svg.line((x, axes.y(low)), (x, axes.y(high)), class_="spread"),
        svg.element("circle", cx=x, cy=y, r=5, class_=kind),
        svg.text(x, y - 11, str(number), class_="name", text_anchor="middle"),
    ]


def _score_edges(point: SweptPoint) -> tuple[float, float]:
    interval = point.score_ci95
    return (point.score, point.score) if interval is None else (interval.low, interval.high)


def _latencies(run: SweptRun) -> str:
    each = ((device.target, formats.ms(device.latency_ms)) for device in run.devices)
    if len(run.devices) < 2:
        return ", ".join(ms for _, ms in each)
    return ", ".join(f"{ms} on {target}" for target, ms in each)


def _score(run: SweptRun) -> str:
    return "" if run.test_score is None else f"{run.test_score:.2f}"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
