"""The trends of stored results: a page with a chart a model, and a table for the terminal."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgespiral.gate.report.words import signed
from edgespiral.report import formats
from edgespiral.report.drawing import svg
from edgespiral.report.drawing.svg import Axes, Scale
from edgespiral.report.html import template

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import RenderableType

    from edgespiral.gate.records import History, HistoryPoint, Shift, Trend

WIDTH, HEIGHT = 1040.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 1026.0, 48.0, 254.0
# Fewer results than this leave room on the right, so that ticks are whole numbers.
LEAST_SHOWN = 6
NUMBERS = ("results", "p50 ms, first", "last", "changes of level")


def render_history(history: History) -> str:
    """One self-contained HTML page: for each model a chart, its changes and every result."""
    charts = [trend_chart(f"trend-{i}", trend) for i, trend in enumerate(history.trends)]
    page = template("history.html.j2")
    return page.render(
        trends=list(zip(history.trends, charts, strict=True)), shift_line=shift_line, name=name
    )


def render_history_table(history: History) -> RenderableType:
    """A row for each model, then every change of level on a line."""
    table = Table(box=None, pad_edge=False)
    for title in ("suite", "target", "model"):
        table.add_column(title, overflow="fold")
    for title in NUMBERS:
        table.add_column(title, justify="right")
    for trend in history.trends:
        first, last = trend.points[0], trend.points[-1]
        names = map(Text, (trend.suite, trend.target, trend.model))
        figures = (len(trend.points), formats.ms(first.p50_ms), formats.ms(last.p50_ms))
        table.add_row(*names, *map(str, figures), str(len(trend.shifts)))
    notes = [
        Text(f"{trend.model}: {shift_line(trend, shift)}")
        for trend in history.trends
        for shift in trend.shifts
    ]
    return Group(table, *notes)


def shift_line(trend: Trend, shift: Shift) -> str:
    """A change in words: `+5.1 % from 0123456789ab on (1.00 to 1.05 ms)`."""
    levels = f"{formats.ms(shift.before_ms)} to {formats.ms(shift.after_ms)} ms"
    return f"{signed(shift.percent)} % from {name(trend.points[shift.index])} on ({levels})"


def name(point: HistoryPoint) -> str:
    """A result by its commit, or by its time where it has none."""
    return point.commit[:12] if point.commit else point.at.strftime("%Y-%m-%d %H:%M UTC")


def trend_chart(identity: str, trend: Trend) -> Markup:
    """Median latency over results, with levels, changes of level and changes of device.

    Args:
        identity: unique in the page.
        trend: one model's results.
    """
    bounds = [end for p in trend.points for end in (p.ci95_ms.low, p.ci95_ms.high, p.p50_ms)]
    x = Scale(0.5, max(len(trend.points), LEAST_SHOWN) + 0.5, LEFT, RIGHT)
    axes = Axes(x, Scale.around(bounds, BOTTOM, TOP, 0.1))
    lines = [shift_line(trend, shift) for shift in trend.shifts]
    description = f"{len(trend.points)} results. {'; '.join(lines) or 'No change of level'}."
    return svg.drawing(
        identity,
        (WIDTH, HEIGHT),
        (f"Latency of {trend.model} over time", description),
        axes.draw(("result, oldest first", "median latency, ms")),
        *(_broken(axes, change.index) for change in trend.breaks),
        *(_level(axes, trend, start, stop) for start, stop in pairwise(_edges(trend))),
        *(_shift(axes, shift) for shift in trend.shifts),
        *(_point(axes, index, point) for index, point in enumerate(trend.points)),
    )


def _edges(trend: Trend) -> list[int]:
    inner = {shift.index for shift in trend.shifts} | {change.index for change in trend.breaks}
    return [0, *sorted(inner), len(trend.points)]


def _level(axes: Axes, trend: Trend, start: int, stop: int) -> Markup:
    ordered = sorted(point.p50_ms for point in trend.points[start:stop])
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    at = axes.y(middle)
    return svg.line((axes.x(start + 0.6), at), (axes.x(stop + 0.4), at), class_="step")


def _shift(axes: Axes, shift: Shift) -> Markup:
    at = axes.x(shift.index + 0.5)
    label = _beside(at, TOP - 7, f"{signed(shift.percent)} %", class_="note")
    return svg.line((at, BOTTOM), (at, TOP), class_="budget") + label


def _broken(axes: Axes, index: int) -> Markup:
    at = axes.x(index + 0.5)
    label = _beside(at, BOTTOM - 6, "measured otherwise from here", class_="label")
    return svg.line((at, BOTTOM), (at, TOP), class_="floor") + label


def _beside(at: float, y: float, words: str, class_: str) -> Markup:
    """Words at a line across, on that side of it which has more room."""
    if at < WIDTH / 2:
        return svg.text(at + 4, y, words, class_=class_)
    return svg.text(at - 4, y, words, class_=class_, text_anchor="end")


def _point(axes: Axes, index: int, point: HistoryPoint) -> Markup:
    x, y = axes.x(index + 1), axes.y(point.p50_ms)
    ends = [(x, axes.y(end)) for end in (point.ci95_ms.low, point.ci95_ms.high)]
    title = f"{name(point)}: {formats.ms(point.p50_ms)} ms, {point.verdict}"
    circle = svg.element("circle", svg.element("title", title), cx=x, cy=y, r=4, class_="student")
    return svg.line(ends[0], ends[1], class_="spread") + circle
