"""Pictures of benches: test accuracy against measured speed-up, or epochs, a panel a model."""

from __future__ import annotations

from itertools import cycle
from typing import Any, NamedTuple

from markupsafe import Markup

from edgespiral.report.drawing import svg
from edgespiral.report.drawing.svg import Axes, Scale

Json = dict[str, Any]

WIDTH, PANEL = 760.0, 420.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 520.0, 56.0, 352.0
COLOURS = ("#0b6e99", "#d9730d", "#37352f", "#ad1a72", "#6940a5", "#0f7b6c")
STYLE = """
svg { font: 13px system-ui, sans-serif; background: #fff }
.grid { stroke: #e4e4e4 } .tick { fill: #666 } .label { fill: #333 } .title { font-weight: 600 }
.series { fill: none; stroke-width: 2 } .spread { stroke-width: 1.5 } .teacher { stroke: #999 }
"""


class Across(NamedTuple):
    """What is along the x axis: its key in a line, its label, and what the picture then shows."""

    key: str
    label: str
    title: str
    text: str


SPEEDUP = Across(
    "mean_speedup",
    "measured speed-up",
    "Accuracy at equal measured latency",
    "Test accuracy against speed-up, by method.",
)
EPOCHS = Across(
    "epochs",
    "epochs of training",
    "Accuracy by epochs",
    "Test accuracy against epochs at equal measured latency, by method.",
)


def picture(lines: list[Json], rows: list[Json], across: Across = SPEEDUP) -> str:
    """An SVG file of its own.

    Args:
        lines: points: `model` is their panel, `row` their colour.
        rows: of which each panel's teacher is read.
        across: what is along the x axis.
    """
    models = sorted({line["model"] for line in lines})
    names = sorted({line["row"] for line in lines}, key=lambda name: (name != "ours", name))
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    panels = [
        svg.element(
            "g",
            *_panel(
                [line for line in lines if line["model"] == model],
                _teacher(rows, model),
                colours,
                across,
            ),
            transform=f"translate(0 {index * PANEL:g})",
        )
        for index, model in enumerate(models)
    ]
    size = (WIDTH, PANEL * len(models))
    drawn = svg.drawing(
        "pareto",
        size,
        (across.title, across.text),
        svg.element("style", Markup(STYLE)),
        *panels,
        _legend(colours),
    )
    return str(drawn).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _teacher(rows: list[Json], model: str) -> float:
    return next(float(r["teacher_test_percent"]) for r in rows if r["model"] == model)


def _axes(lines: list[Json], teacher_percent: float, across: Across) -> Axes:
    values = [line["mean_test_percent"] for line in lines]
    return Axes(
        Scale.around([line[across.key] for line in lines], LEFT, RIGHT, 0.08),
        Scale.around([*values, teacher_percent], BOTTOM, TOP, 0.08),
    )


def _panel(
    lines: list[Json], teacher_percent: float, colours: dict[str, str], across: Across
) -> list[Markup]:
    axes = _axes(lines, teacher_percent, across)
    at = axes.y(teacher_percent)
    parts = [
        axes.draw((across.label, "test accuracy, %")),
        svg.text(RIGHT, 18.0, lines[0]["model"], class_="title", text_anchor="end"),
        svg.line((LEFT, at), (RIGHT, at), class_="teacher", stroke_dasharray="4 3"),
        svg.text(RIGHT - 4, at - 5, "teacher", class_="tick", text_anchor="end"),
    ]
    for name, colour in colours.items():
        some = sorted((ln for ln in lines if ln["row"] == name), key=lambda ln: ln[across.key])
        if some:
            places = [(axes.x(ln[across.key]), axes.y(ln["mean_test_percent"])) for ln in some]
            parts.append(svg.path(places, class_="series", stroke=colour))
            parts += [svg.element("circle", cx=x, cy=y, r=4, fill=colour) for x, y in places]
            parts += [
                _spread(axes, place, line, colour)
                for (place, _), line in zip(places, some, strict=True)
                if line["deviation"]
            ]
    return parts


def _spread(axes: Axes, at: float, line: Json, colour: str) -> Markup:
    mean, deviation = line["mean_test_percent"], line["deviation"]
    ends = ((at, axes.y(mean - deviation)), (at, axes.y(mean + deviation)))
    return svg.line(*ends, class_="spread", stroke=colour)


def _legend(colours: dict[str, str]) -> Markup:
    parts = []
    for index, (name, colour) in enumerate(colours.items()):
        y = TOP + 22.0 * index
        parts.append(svg.element("circle", cx=RIGHT + 22, cy=y, r=5, fill=colour))
        parts.append(svg.text(RIGHT + 34, y + 4, name, class_="label"))
    return Markup().join(parts)
