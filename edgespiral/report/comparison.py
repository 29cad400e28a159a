"""Several runs side by side, as a table for the terminal and as one HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from edgespiral.report import formats
from edgespiral.report.drawing import svg
from edgespiral.report.drawing.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from edgespiral.report.drawing.svg import Axes, Scale
from edgespiral.report.html import status_of, template
from edgespiral.report.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from edgespiral.core.records.events import Event
    from edgespiral.core.records.metric import Metric

NOT_YET = "\N{EM DASH}"
# What two runs have to share for their scores, or their latencies, to be of the same thing.
OF_SCORES = ("data", "task")
OF_LATENCIES = ("target",)


@dataclass(frozen=True)
class Compared:
    """One run of several, as far as it has come.

    Attributes:
        name: of its folder.
        run: its records.
        split: that its scores are of: `test` once it is finished.
        teacher_score, score: in the metric's unit; None before the teacher is judged.
        latency_ms: of the result on the first target; None before that.
        speedup: with its interval, in words.
    """

    name: str
    run: Run
    split: str
    teacher_score: float | None
    score: float | None
    latency_ms: float | None
    speedup: str
    times: float | None

    @property
    def metric(self) -> Metric:
        """What its scores are."""
        return self.run.metric

    @property
    def status(self) -> tuple[str, str]:
        """How it ended, and whether that is good."""
        return status_of(self.run)

    @property
    def cells(self) -> list[str]:
        """A row of the table."""
        return [
            self.name,
            str(self.run.started.plan["model"]),
            self.run.target,
            NOT_YET if self.latency_ms is None else formats.ms(self.latency_ms),
            self.speedup,
            f"{self.split} {self.metric.name}",
            NOT_YET if self.score is None else self.metric.text(self.score),
            self._change,
            self._parameters,
            self.status[0],
        ]

    @property
    def _change(self) -> str:
        if self.score is None or self.teacher_score is None:
            return NOT_YET
        return formats.points(self.teacher_score, self.score)

    @property
    def _parameters(self) -> str:
        best, baseline = self.run.best, self.run.baseline
        facts = best.student if best else (baseline.teacher if baseline else None)
        return NOT_YET if facts is None else formats.count(facts.parameter_count)


COLUMNS = (
    *("run", "model", "target", "latency ms", "speed-up", "score", "", "change", "params"),
    "outcome",
)


def compared(runs: Mapping[str, Sequence[Event]]) -> list[Compared]:
    """Runs to be shown side by side, in the order in which they are named.

    Args:
        runs: the journals by the names of their folders.

    Raises:
        RunFolderError: a journal holds no run.
    """
    return [_compared(name, Run.of(events)) for name, events in runs.items()]


def _compared(name: str, run: Run) -> Compared:
    finished, best, baseline = run.finished, run.best, run.baseline
    scores: tuple[float | None, float | None] = (None, None)
    if finished is not None:
        scores = (finished.teacher_test_score, finished.student_test_score)
    elif baseline is not None:
        student = (best.student if best else baseline.teacher).validation_score
        scores = (baseline.teacher.validation_score, student)
    event = finished or best
    device = run.shown(event.devices) if event else None
    times = device.speedup.value if device else None
    return Compared(
        name=name,
        run=run,
        split="test" if finished else "validation",
        teacher_score=scores[0],
        score=scores[1],
        latency_ms=run.timing(run.shown(best.devices)).latency_ms if best else None,
        speedup=f"{times:.2f}x ({formats.interval(device.speedup)})" if device else NOT_YET,
        times=times,
    )


def differences(runs: Sequence[Compared]) -> list[str]:
    """What keeps figures of the runs from being compared, a line each."""
    lines = []
    plans = [run.run.started.plan for run in runs]
    for keys, figures in ((OF_SCORES, "scores"), (OF_LATENCIES, "latencies")):
        differing = [key for key in keys if len({str(plan.get(key)) for plan in plans}) > 1]
        if differing:
            lines.append(f"{figures} are not of the same thing: runs differ in {_and(differing)}")
    if len({run.split for run in runs}) > 1:
        lines.append("scores of runs that are not finished are of the validation split")
    if len({run.run.started.teacher_sha256 for run in runs}) > 1:
        lines.append("runs began with different teachers")
    return lines


def print_comparison(console: Console, runs: Sequence[Compared]) -> None:
    """A row a run, and below what keeps their figures from being compared."""
    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, overflow="fold")
    for run in runs:
        table.add_row(*map(Text, run.cells))
    console.print(table, crop=False)
    for line in differences(runs):
        console.print(f"mind: {line}", soft_wrap=True)


def comparison_html(runs: Sequence[Compared]) -> str:
    """The page that `edgespiral report A B --html FILE` writes."""
    return template("comparison.html.j2").render(
        runs=runs, columns=COLUMNS, differences=differences(runs), chart=_chart(runs)
    )


def _chart(runs: Sequence[Compared]) -> Markup | None:
    """Speed-up against what the score lost, a point a run; None where metrics differ."""
    metrics = {run.metric for run in runs}
    places = dict(_places(runs))
    if len(metrics) > 1 or not places:
        return None
    [metric] = metrics
    axes = Axes(
        Scale.around([1.0, *(x for x, _ in places.values())], LEFT, RIGHT, 0.08),
        Scale.around([0.0, *(y for _, y in places.values())], BOTTOM, TOP, 0.12),
    )
    description = "; ".join(f"{name}: {x:.2f}x, {y:+.2f}" for name, (x, y) in places.items())
    points = [
        Markup().join(
            [
                svg.element("circle", cx=axes.x(x), cy=axes.y(y), r=6.0, class_="student"),
                svg.text(axes.x(x) + 9, axes.y(y) - 8, name, class_="name"),
            ]
        )
        for name, (x, y) in places.items()
    ]
    return svg.drawing(
        "compared",
        (WIDTH, HEIGHT),
        (f"Speed-up against the change in {metric.name}", description),
        axes.draw(("measured speed-up", f"change in {metric.name}, {metric.difference_unit}")),
        *points,
    )


def _places(runs: Sequence[Compared]) -> Iterator[tuple[str, tuple[float, float]]]:
    for run in runs:
        if run.times is not None and run.score is not None and run.teacher_score is not None:
            yield run.name, (run.times, run.score - run.teacher_score)


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
