"""An exploration as a table for the terminal and as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from edgespiral.report import formats
from edgespiral.report.drawing import svg
from edgespiral.report.drawing.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from edgespiral.report.drawing.svg import Axes, Scale
from edgespiral.report.html import template

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import Console

    from edgespiral.core.records.comparing.exploration import Exploration, Point
    from edgespiral.core.records.metric import Metric

DASH = "\N{EN DASH}"


def print_exploration(console: Console, exploration: Exploration) -> None:
    """Show the points of an exploration, the slowest first."""
    table = Table(box=None, pad_edge=False)
    for name in ("point", "latency ms", "95 %", "speed-up", "loss nats", "10 % more", "lost"):
        table.add_column(name, justify="right")
    table.add_column("")
    for point in exploration.points:
        number, latency, span, speedup, _, _, loss, more, _, role_told = row(point, exploration)
        drop = point.predicted_drop
        lost = DASH if drop is None else f"{drop.value:.2f}"
        table.add_row(number, latency, span, speedup, loss, more, lost, role_told)
    console.print(table, crop=False)
    for line in remarks(exploration):
        console.print(line, soft_wrap=True)


def row(point: Point, exploration: Exploration) -> list[str]:
    """A point's figures, as both tables have them."""
    more = point.next_tenth_nats
    return [
        str(point.number),
        formats.ms(point.latency_ms),
        _span(point.latency_ci95_ms.low, point.latency_ci95_ms.high),
        f"{point.devices[0].speedup.value:.2f}",
        f"{point.weight_share:.0%}",
        f"{point.divergence_nats:.3g}",
        f"{point.loss_nats:.3g}",
        DASH if more is None else f"{more:+.2g}",
        predicted(point, exploration.metric),
        role(point),
    ]


def role(point: Point) -> str:
    """What a point is on the front."""
    if not point.on_front:
        return "beaten"
    return "knee" if point.knee else ""


def predicted(point: Point, metric: Metric) -> str:
    """By how much the metric is predicted to get worse."""
    drop = point.predicted_drop
    if drop is None:
        return DASH
    interval = "" if drop.ci95 is None else f" ({drop.ci95.low:.2f} to {drop.ci95.high:.2f})"
    return f"{drop.value:.2f} {metric.difference_unit}".strip() + interval


def remarks(exploration: Exploration) -> list[str]:
    """What the figures rest on, a line each."""
    cuts = exploration.calibrated_on
    runs = len({cut.run for cut in cuts})
    lines = [
        f"the loss of {exploration.metric.label} is reckoned from trained cuts: {len(cuts)}, "
        f"of finished runs: {runs}"
        if cuts
        else f"no finished run of this teacher says what a nat costs in {exploration.metric.label}"
    ]
    if exploration.out_of_reach_ms:
        missed = ", ".join(map(formats.ms, exploration.out_of_reach_ms))
        lines.append(f"out of reach for a cut of one turn: {missed} ms")
    if not exploration.complete:
        lines.append("not explored to the end: go on with --resume")
    return lines


def exploration_html(exploration: Exploration) -> str:
    """The page of an exploration: a picture, a table and what the figures rest on."""
    return template("exploration.html.j2").render(
        exploration=exploration,
        rows=[(point, row(point, exploration)) for point in exploration.points],
        chart=front_chart(exploration) if exploration.points else "",
        remarks=remarks(exploration),
        several=len(exploration.teacher) > 1,
    )


def front_chart(exploration: Exploration) -> Markup:
    """Latency against predicted loss: a point a cut, with its interval, and the front."""
    points, start_ms = exploration.points, exploration.start_ms
    times = [start_ms, *(edge for p in points for edge in _edges(p))]
    axes = Axes(
        Scale.around(times, LEFT, RIGHT, 0.06),
        Scale.around([0.0, *(point.loss_nats for point in points)], BOTTOM, TOP, 0.08),
    )
    front = [point for point in points if point.on_front]
    path = [(start_ms, 0.0), *((point.latency_ms, point.loss_nats) for point in front)]
    return svg.drawing(
        "front",
        (WIDTH, HEIGHT),
        ("Latency against predicted loss", f"{_told(exploration)}."),
        axes.draw(("median latency, ms", "predicted loss, nats")),
        svg.path(((axes.x(ms), axes.y(loss)) for ms, loss in path), class_="step"),
        *(_spread(axes, point) for point in points),
        _mark(axes, (start_ms, 0.0), "teacher", "teacher"),
        *(_of(axes, point) for point in points),
    )


def _of(axes: Axes, point: Point) -> Markup:
    kind = "best" if point.knee else "student" if point.on_front else "dominated"
    return _mark(axes, (point.latency_ms, point.loss_nats), str(point.number), kind)


def _mark(axes: Axes, place: tuple[float, float], name: str, kind: str) -> Markup:
    x, y = axes.x(place[0]), axes.y(place[1])
    shown = f"{name}: {place[1]:.3g} nats in {formats.ms(place[0])} ms"
    radius = 7 if kind == "best" else 5
    circle = svg.element("circle", svg.element("title", shown), cx=x, cy=y, r=radius, class_=kind)
    return circle + svg.text(x, y - 11, name, class_="name", text_anchor="middle")


def _spread(axes: Axes, point: Point) -> Markup:
    at, (low, high) = axes.y(point.loss_nats), _edges(point)
    return svg.line((axes.x(low), at), (axes.x(high), at), class_="spread")


def _edges(point: Point) -> tuple[float, float]:
    return point.latency_ci95_ms.low, point.latency_ci95_ms.high


def _told(exploration: Exploration) -> str:
    parts = [f"Teacher in {formats.ms(exploration.start_ms)} ms"]
    parts += [
        f"point {point.number} {point.loss_nats:.3g} nats in {formats.ms(point.latency_ms)} ms"
        f"{', a knee' if point.knee else ''}"
        for point in exploration.points
    ]
    return "; ".join(parts)


def _span(low: float, high: float) -> str:
    return f"{formats.ms(low)}{DASH}{formats.ms(high)}"
