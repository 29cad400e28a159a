"""The report's charts, each a function of the run, and the figures that they show."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from edgespiral.report import formats
from edgespiral.report.drawing import svg
from edgespiral.report.drawing.svg import Axes, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records.events import (
        Baseline,
        OnDevice,
        TurnFinished,
    )
    from edgespiral.core.records.measurement import Measurement, Race, RaceRow
    from edgespiral.core.records.metric import Metric
    from edgespiral.report.run import Run

WIDTH, HEIGHT = 520.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 506.0, 48.0, 284.0
STEPS = 200
BAR, BAR_GAP, NAMES = 9.0, 9.0, 176.0
RACE_BAR, RACE_ROW, RACE_TOP, FIGURES = 12.0, 22.0, 6.0, 96.0
SHARES = (0, 5, 10, 25, 50, 75, 90, 95, 99)


@dataclass(frozen=True)
class Figures:
    """A table; the first cell of a row names it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def score_chart(run: Run, baseline: Baseline) -> Markup:
    """Latency against the validation score, a point a turn, with the budget and the floor."""
    teacher = baseline.teacher
    on_device = run.shown(baseline.devices)
    start = (on_device.measurement.stats.p50_ms, teacher.validation_score)
    places = {0: start} | {turn.turn: _place(run, turn) for turn in run.turns}
    floor = run.metric.floor(teacher.validation_score, run.max_drop)
    candidates_ms = _candidates_ms(run, baseline)
    times = [*(x for x, _ in places.values()), *_budgets(on_device), *candidates_ms]
    axes = Axes(
        Scale.around(times, LEFT, RIGHT, 0.08),
        Scale.around([*(y for _, y in places.values()), floor], BOTTOM, TOP, 0.12),
    )
    return svg.drawing(
        "score",
        (WIDTH, HEIGHT),
        (f"Latency against {run.metric.name}", _description(run, baseline)),
        axes.draw(
            ("median latency, ms", f"validation {run.metric.name}, {run.metric.unit}".strip(" ,"))
        ),
        *(_budget(axes, budget_ms) for budget_ms in _budgets(on_device)),
        _floor(axes, floor, run.metric.name),
        *(_tried(axes, latency_ms) for latency_ms in candidates_ms),
        *(_step(axes, places, turn) for turn in run.turns),
        *(_spread(axes, run, turn) for turn in run.turns),
        *(
            _point(axes, place, turn, _kind(run, turn), run.metric)
            for turn, place in places.items()
        ),
    )


def samples_chart(teacher: OnDevice, student: Measurement | None) -> Markup:
    """Share of runs done within a time, teacher and student, with the budget."""
    measured = {"teacher": teacher.measurement}
    if student is not None and student.model_sha256 != teacher.measurement.model_sha256:
        measured["student"] = student
    curves = {name: _quantiles(measurement) for name, measurement in measured.items()}
    times = [*_budgets(teacher), *(ms for curve in curves.values() for ms, _ in curve)]
    axes = Axes(Scale.around(times, LEFT, RIGHT, 0.05), Scale(0, 1, BOTTOM, TOP))
    medians = {name: measurement.stats.p50_ms for name, measurement in measured.items()}
    description = ", ".join(
        f"{name} median {formats.ms(value)} ms" for name, value in medians.items()
    )
    return svg.drawing(
        "samples",
        (WIDTH, HEIGHT),
        ("Distribution of the latency samples", f"{description}."),
        axes.draw(("latency of one run, ms", "share of runs at or below"), "{:.0%}".format),
        *(_budget(axes, budget_ms) for budget_ms in _budgets(teacher)),
        *(_curve(axes, name, curve) for name, curve in curves.items()),
        *(_median(axes, name, value) for name, value in medians.items()),
    )


def widths_chart(before: dict[str, int], after: dict[str, int]) -> Markup:
    """Channels of each group before and after, a pair of bars each."""
    pairs = {name: (width, after.get(name, width)) for name, width in before.items()}
    channels_left, total = sum(after.values()), sum(before.values())
    description = f"{channels_left} of {total} channels are left in {len(before)} groups."
    arrow = "{} \N{RIGHTWARDS ARROW} {}"
    return _pairs("widths", ("Channels per group before and after", description), pairs, arrow)


def race_chart(race: Race, name: str = "race") -> Markup:
    """A bar for the median of each row that has one, with its 95 % interval; the winner's is dark.

    Args:
        race: of which at least one row has a figure.
        name: the image's identity, unique in its page.
    """
    timed = [(row, row.measurement) for row in race.rows if row.measurement is not None]
    scale = Scale(
        0, max(_longest_ms(measurement) for _, measurement in timed), NAMES, WIDTH - FIGURES
    )
    bars = [
        _race_bar(scale, row, measurement, RACE_TOP + place * RACE_ROW, wins=row is race.won)
        for place, (row, measurement) in enumerate(timed)
    ]
    texts = (f"Latency by runtime on {race.target}", _medians(timed))
    return svg.drawing(name, (WIDTH, 2 * RACE_TOP + len(timed) * RACE_ROW), texts, *bars)


def score_figures(run: Run, baseline: Baseline) -> Figures:
    """Latency, its interval and the score of the teacher and of each turn."""
    score = f"validation {run.metric.name}, {run.metric.unit}".rstrip(" ,")
    teacher_ms = formats.ms(run.shown(baseline.devices).measurement.stats.p50_ms)
    rows: list[tuple[str, ...]] = []
    rows.append(("teacher", teacher_ms, "", "", f"{baseline.teacher.validation_score:.4g}"))
    for turn in run.turns:
        timing = run.timing(run.shown(turn.devices))
        times = (timing.latency_ms, timing.ci95_ms.low, timing.ci95_ms.high)
        score_text = f"{turn.student.validation_score:.4g}"
        rows.append((f"turn {turn.turn}", *map(formats.ms, times), score_text))
    return Figures(("point", "latency, ms", "from, ms", "to, ms", score), tuple(rows))


def samples_figures(teacher: OnDevice, student: Measurement | None) -> Figures:
    """Latencies within which some shares of the runs were done."""
    measured = {"teacher": teacher.measurement}
    if student is not None and student.model_sha256 != teacher.measurement.model_sha256:
        measured["student"] = student
    quantiles = [
        np.percentile(list(chain.from_iterable(measurement.rounds_ms)), SHARES)
        for measurement in measured.values()
    ]
    rows = tuple(
        (f"{share} %", *(formats.ms(float(values[index])) for values in quantiles))
        for index, share in enumerate(SHARES)
    )
    return Figures(("runs done", *(f"{name}, ms" for name in measured)), rows)


def widths_figures(before: dict[str, int], after: dict[str, int]) -> Figures:
    """Channels of each group."""
    rows = ((name, str(width), str(after.get(name, width))) for name, width in before.items())
    return Figures(("group", "teacher", "student"), tuple(rows))


def _description(run: Run, baseline: Baseline) -> str:
    score, teacher = baseline.teacher.validation_score, run.shown(baseline.devices)
    parts = [
        f"Teacher {run.metric.text(score)} in {formats.ms(teacher.measurement.stats.p50_ms)} ms"
    ]
    for turn in run.turns:
        latency_ms, score = _place(run, turn)
        parts.append(f"turn {turn.turn} {run.metric.text(score)} in {formats.ms(latency_ms)} ms")
    parts += [f"budget {formats.ms(budget_ms)} ms" for budget_ms in _budgets(teacher)]
    return f"{'; '.join(parts)}."


def _budgets(device: OnDevice) -> list[float]:
    """The latency that is asked for on a device, if one is."""
    return [] if device.budget_ms is None else [device.budget_ms]


def _place(run: Run, turn: TurnFinished) -> tuple[float, float]:
    return run.timing(run.shown(turn.devices)).latency_ms, turn.student.validation_score


def _candidates_ms(run: Run, baseline: Baseline) -> list[float]:
    teacher = run.shown(baseline.devices)
    teacher_ms = teacher.measurement.stats.p50_ms
    reached = [_place(run, turn)[0] for turn in run.turns]
    fastest = min([*_budgets(teacher), *reached], default=teacher_ms)
    candidates = [run.shown(candidate.devices) for candidate in run.candidates]
    measured_ms = [teacher_ms / device.speedup.value for device in candidates]
    # Probes far below the budget only taught the latency model; they would squash the picture.
    return [latency_ms for latency_ms in measured_ms if latency_ms >= 0.8 * fastest]


def _kind(run: Run, turn: int) -> str:
    best = run.finished.best_turn if run.finished else None
    return "best" if turn == best else "teacher" if turn == 0 else "student"


def _floor(axes: Axes, floor: float, name: str) -> Markup:
    at = axes.y(floor)
    left, right = axes.x.start, axes.x.end
    return Markup().join(
        [
            svg.line((left, at), (right, at), class_="floor"),
            svg.text(right, at + 16, f"{name} floor", class_="note", text_anchor="end"),
        ]
    )


def _budget(axes: Axes, budget_ms: float) -> Markup:
    at = axes.x(budget_ms)
    near_right = at > (axes.x.start + axes.x.end) / 2
    end = "end" if near_right else "start"
    return Markup().join(
        [
            svg.line((at, axes.y.start), (at, axes.y.end), class_="budget"),
            svg.text(
                at + (4 if near_right else -4),
                axes.y.end - 7,
                f"budget {formats.ms(budget_ms)} ms",
                class_="note",
                text_anchor=end,
            ),
        ]
    )


def _tried(axes: Axes, latency_ms: float) -> Markup:
    at, bottom = axes.x(latency_ms), axes.y.start
    title = svg.element("title", f"candidate: {formats.ms(latency_ms)} ms")
    shape = {"x1": at, "y1": bottom, "x2": at, "y2": bottom - 7, "class_": "tried"}
    return svg.element("line", title, **shape)


def _step(axes: Axes, places: dict[int, tuple[float, float]], turn: TurnFinished) -> Markup:
    ends = (places[turn.parent], places[turn.turn])
    return svg.path(((axes.x(x), axes.y(y)) for x, y in ends), class_="step")


def _spread(axes: Axes, run: Run, turn: TurnFinished) -> Markup:
    timing = run.timing(run.shown(turn.devices))
    at = axes.y(turn.student.validation_score)
    ends = (axes.x(timing.ci95_ms.low), axes.x(timing.ci95_ms.high))
    return svg.line((ends[0], at), (ends[1], at), class_="spread")


def _point(axes: Axes, place: tuple[float, float], turn: int, kind: str, metric: Metric) -> Markup:
    x, y = axes.x(place[0]), axes.y(place[1])
    name = "teacher" if turn == 0 else f"turn {turn}"
    title = f"{name}: {metric.text(place[1])} in {formats.ms(place[0])} ms"
    circle = svg.element(
        "circle", svg.element("title", title), cx=x, cy=y, r=7 if kind == "best" else 5, class_=kind
    )
    end = "end" if x > (axes.x.start + axes.x.end) / 2 else "start"
    label = svg.text(x + (-10 if end == "end" else 10), y - 9, name, class_="name", text_anchor=end)
    return circle + label


def _quantiles(measurement: Measurement) -> list[tuple[float, float]]:
    ordered = sorted(chain.from_iterable(measurement.rounds_ms))
    last = len(ordered) - 1
    shares = [index / STEPS for index in range(STEPS + 1)]
    # The slowest hundredth would squash the rest of the picture.
    return [(ordered[round(share * last)], share) for share in shares if share <= 0.99]


def _curve(axes: Axes, name: str, curve: Sequence[tuple[float, float]]) -> Markup:
    points = ((axes.x(ms), axes.y(share)) for ms, share in curve)
    return svg.path(points, class_=f"curve {name}")


def _median(axes: Axes, name: str, median_ms: float) -> Markup:
    x, y = axes.x(median_ms), axes.y(0.5)
    end = "end" if x > (axes.x.start + axes.x.end) / 2 else "start"
    label = f"{name} {formats.ms(median_ms)} ms"
    away = -12 if end == "end" else 12
    # Two labels that would meet halfway are on lines of their own.
    below = 22 if name == "teacher" else 4
    return Markup().join(
        [
            svg.element("circle", svg.element("title", label), cx=x, cy=y, r=5, class_=name),
            svg.text(x + away, y + below, label, class_="name", text_anchor=end),
        ]
    )


def _longest_ms(measurement: Measurement) -> float:
    return max(measurement.stats.p50_ms, measurement.stats.p50_ci95_ms.high)


def _medians(timed: Sequence[tuple[RaceRow, Measurement]]) -> str:
    figures = (
        f"{formats.runtime(row)}: {formats.ms(measurement.stats.p50_ms)} ms"
        for row, measurement in timed
    )
    return "; ".join(figures)


def _race_bar(
    scale: Scale, row: RaceRow, measurement: Measurement, top: float, *, wins: bool
) -> Markup:
    stats, middle = measurement.stats, top + RACE_BAR / 2
    ends = (scale(stats.p50_ci95_ms.low), middle), (scale(stats.p50_ci95_ms.high), middle)
    kind = "after" if wins else "before"
    length = scale(stats.p50_ms) - scale.start
    return Markup().join(
        [
            svg.text(
                scale.start - 8,
                top + RACE_BAR - 2,
                formats.runtime(row),
                class_="name" if wins else "tick",
                text_anchor="end",
            ),
            svg.element(
                "rect", x=scale.start, y=top, width=length, height=RACE_BAR, rx=1.5, class_=kind
            ),
            svg.line(*ends, class_="spread"),
            svg.text(
                ends[1][0] + 8, top + RACE_BAR - 2, f"{formats.ms(stats.p50_ms)} ms", class_="tick"
            ),
        ]
    )


def _pairs(
    identity: str, texts: tuple[str, str], pairs: dict[str, tuple[int, int]], form: str
) -> Markup:
    """A pale bar and a dark one over it for each name; `form` says both where they differ."""
    row = BAR + BAR_GAP
    longest = max((whole for whole, _ in pairs.values()), default=1)
    scale = Scale(0, longest, NAMES, WIDTH - 84)
    rows = [
        _bars(scale, name, pair, form, 8 + index * row)
        for index, (name, pair) in enumerate(pairs.items())
    ]
    return svg.drawing(identity, (WIDTH, 12 + len(pairs) * row), texts, *rows)


def _bars(scale: Scale, name: str, pair: tuple[int, int], form: str, top: float) -> Markup:
    before, after = pair
    change = form.format(*pair) if after != before else f"{before}"
    base = top + BAR
    return Markup().join(
        [
            svg.text(scale.start - 8, base, short(name), class_="tick", text_anchor="end"),
            *(
                svg.element(
                    "rect", svg.element("title", f"{name}: {change}"), x=scale.start, y=top,
                    width=scale(width) - scale.start, height=BAR,
                    rx=1.5, class_=kind,
                )
                for width, kind in ((before, "before"), (after, "after"))
            ),
            svg.text(scale(before) + 8, base, change, class_="tick"),
        ]
    )  # fmt: skip


def short(name: str, most: int = 25) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= most else f"\N{HORIZONTAL ELLIPSIS}{name[1 - most :]}"
