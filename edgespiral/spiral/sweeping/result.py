"""`sweep.json`, `sweep.csv` and the page of a sweep, from the journals of its runs."""

from __future__ import annotations

import math
from itertools import groupby
from statistics import mean, median
from typing import TYPE_CHECKING, NamedTuple

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.comparing.sweep import Sweep, SweptDevice, SweptPoint, SweptRun
from edgespiral.core.records.events import RunFinished, RunStarted
from edgespiral.core.records.journal import read_run
from edgespiral.core.records.measurement import Interval
from edgespiral.core.system.files import write_text
from edgespiral.report.result import build_result
from edgespiral.report.sweep import sweep_csv, sweep_html
from edgespiral.spiral.plan import plan_sha256
from edgespiral.spiral.starting.opened import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.result import DeviceResult, Result
    from edgespiral.spiral.sweeping.plan import SweepPlan, SweepRun

RECORD, PAGE, TABLE = "sweep.json", "sweep.html", "sweep.csv"
SEED = "seed"
CONFIDENCE = 0.95
# Fields whose values may have teachers of their own.
OF_TEACHERS = {"model", "weights"}


class Problem(NamedTuple):
    """Why a run failed: the line that it ended with, and its exit code."""

    text: str
    code: int


class EndedRuns:
    """Results of a sweep's runs that have ended, each read once, from its journal.

    A folder may hold another run than the sweep's, whose figures are none of its.

    Args:
        plan: of the sweep.
        out: the sweep's folder.
    """

    def __init__(self, plan: SweepPlan, out: Path) -> None:
        self.out = out
        self._one_teacher = not OF_TEACHERS & plan.vary.keys()
        self._results: dict[str, Result] = {}
        self._teacher_sha256: str | None = None

    def of(self, run: SweepRun) -> Result | None:
        """The result of a run; None of one that has not ended.

        Raises:
            RunFolderError: its folder holds a run of another plan, or of another teacher than those
                before it, or its journal is damaged.
        """
        journal = self.out / run.name / JOURNAL
        if run.name not in self._results and journal.is_file():
            events = read_run(journal)
            if any(isinstance(event, RunFinished) for event in events):
                self._require_own(run, events[0])
                self._results[run.name] = build_result(events)
        return self._results.get(run.name)

    def _require_own(self, run: SweepRun, started: object) -> None:
        place = str(self.out / run.name)
        if not isinstance(started, RunStarted) or started.plan_sha256 != plan_sha256(run.plan):
            raise RunFolderError(
                "this folder holds a run of another plan",
                where=place,
                hint="choose another --out, or move that folder away",
            )
        before = self._teacher_sha256
        if self._one_teacher and before not in (None, started.teacher_sha256):
            raise RunFolderError(
                "this run has another teacher than those before it: the weights changed",
                where=place,
                hint="put them back as they were, or choose another --out",
            )
        self._teacher_sha256 = started.teacher_sha256


def write_sweep(sweep: Sweep, out: Path) -> None:
    """Write the record, the table and the page of a sweep to its folder."""
    write_text(out / RECORD, sweep.model_dump_json(indent=2) + "\n")
    write_text(out / TABLE, sweep_csv(sweep))
    write_text(out / PAGE, sweep_html(sweep))


def sweep_of(
    plan: SweepPlan,
    runs: Sequence[SweepRun],
    ended: EndedRuns,
    problems: Mapping[str, Problem],
    command: str,
) -> Sweep:
    """What is known of a sweep by now.

    Args:
        plan: what was asked for.
        runs: its runs.
        ended: of these, what is known.
        problems: of runs that failed, by name.
        command: that asked for it.

    Raises:
        RunFolderError: as `EndedRuns.of`.
    """
    results = {run.name: ended.of(run) for run in runs}
    metric = next((result.metric for result in results.values() if result), None)
    swept = tuple(_swept(run, ended.out, results[run.name], problems.get(run.name)) for run in runs)
    return Sweep(
        plan=plan.plan,
        vary={name: tuple(values) for name, values in plan.vary.items()},
        metric=metric,
        runs=swept,
        points=tuple(points_of(swept, metric)) if metric else (),
        command=command,
    )


def _swept(run: SweepRun, out: Path, result: Result | None, problem: Problem | None) -> SweptRun:
    start = SweptRun(name=run.name, folder=str(out / run.name), values=run.values)
    if problem is not None:
        return start.model_copy(update={"problem": problem.text, "exit_code": problem.code})
    if result is None:
        return start
    return start.model_copy(
        update={
            "outcome": result.outcome,
            "exit_code": result.exit_code,
            "precision": result.precision,
            "validation_score": result.student.validation_score,
            "test_score": result.student.test_score,
            "size_bytes": result.student.size_bytes,
            "parameter_count": result.student.parameter_count,
            "devices": tuple(map(_device, result.devices)),
            "widths": result.widths_after,
        }
    )


def _device(device: DeviceResult) -> SweptDevice:
    teacher_ms, ratio = device.teacher.stats.p50_ms, device.speedup
    return SweptDevice(
        target=device.target,
        latency_ms=teacher_ms / ratio.value,
        ci95_ms=Interval(low=teacher_ms / ratio.ci95.high, high=teacher_ms / ratio.ci95.low),
        speedup=ratio.value,
    )


def points_of(runs: Sequence[SweptRun], metric: Metric) -> Iterator[SweptPoint]:
    """Of each target its points, with those marked that no other is better than."""
    points = [point for group in _but_for_seeds(runs) for point in _of_targets(group)]
    for point in points:
        others = [other for other in points if other.target == point.target]
        beaten = any(_beats(other, point, metric) for other in others)
        yield point.model_copy(update={"on_front": not beaten})


def _beats(other: SweptPoint, point: SweptPoint, metric: Metric) -> bool:
    mine = (-point.latency_ms, -point.size_bytes, metric.rank(point.score))
    theirs = (-other.latency_ms, -other.size_bytes, metric.rank(other.score))
    return mine != theirs and all(a >= b for a, b in zip(theirs, mine, strict=True))


def _but_for_seeds(runs: Sequence[SweptRun]) -> list[list[SweptRun]]:
    """Runs with a result, those together that differ by their seed alone."""
    ended = [run for run in runs if run.test_score is not None]
    keyed = sorted(ended, key=_without_seed)
    return [list(group) for _, group in groupby(keyed, key=_without_seed)]


def _without_seed(run: SweptRun) -> str:
    return repr({name: value for name, value in run.values.items() if name != SEED})


def _of_targets(runs: Sequence[SweptRun]) -> Iterator[SweptPoint]:
    for index, device in enumerate(runs[0].devices):
        devices = [run.devices[index] for run in runs]
        scores = [run.test_score for run in runs if run.test_score is not None]
        sizes = [run.size_bytes for run in runs if run.size_bytes is not None]
        yield SweptPoint(
            target=device.target,
            values={name: value for name, value in runs[0].values.items() if name != SEED},
            runs=tuple(run.name for run in runs),
            latency_ms=median(own.latency_ms for own in devices),
            latency_ci95_ms=Interval(
                low=min(own.ci95_ms.low for own in devices),
                high=max(own.ci95_ms.high for own in devices),
            ),
            score=mean(scores),
            score_ci95=_interval(scores),
            size_bytes=mean(sizes),
            on_front=False,
        )


def _interval(scores: Sequence[float]) -> Interval | None:
    """Student's, of the mean; None of a single score."""
    if len(scores) < 2:
        return None
    from scipy.stats import t

    centre, freedom = mean(scores), len(scores) - 1
    variance = sum((score - centre) ** 2 for score in scores) / freedom
    half = float(t.isf((1 - CONFIDENCE) / 2, freedom)) * math.sqrt(variance / len(scores))
    return Interval(low=centre - half, high=centre + half)
