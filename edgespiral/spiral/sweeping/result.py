"""`sweep.json`, `sweep.csv` and the page of a sweep, from the journals of its runs."""

from __future__ import annotations

import math
from itertools import groupby
from statistics import mean, median
from typing import TYPE_CHECKING

from edgespiral.core.records.comparing.sweep import Sweep, SweptDevice, SweptPoint, SweptRun
from edgespiral.core.records.measurement import Interval
from edgespiral.core.system.files import write_text
from edgespiral.report.sweep import sweep_csv, sweep_html

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.result import DeviceResult, Result
    from edgespiral.spiral.sweeping.command import Problem
    from edgespiral.spiral.sweeping.ended import EndedRuns
    from edgespiral.spiral.sweeping.plan import SweepPlan, SweepRun

Merits = tuple[float, ...]
RECORD, PAGE, TABLE = "sweep.json", "sweep.html", "sweep.csv"
SEED = "seed"
CONFIDENCE = 0.95


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
    *,
    best: Sequence[str] = (),
) -> Sweep:
    """What is known of a sweep by now.

    Args:
        plan: what was asked for.
        runs: its runs.
        ended: of these, what is known.
        problems: of runs that failed, by name.
        command: that asked for it.
        best: of a search, the best run of each combination, by name.

    Raises:
        RunFolderError: as `EndedRuns.of`.
    """
    results = {run.name: ended.of(run) for run in runs}
    metric = next((result.metric for result in results.values() if result), None)
    swept = tuple(_swept(run, ended.out, results[run.name], problems.get(run.name)) for run in runs)
    return Sweep(
        plan=plan.plan,
        vary={name: _values(name, plan, runs) for name in plan.varied},
        metric=metric,
        runs=swept,
        points=tuple(points_of(swept, metric)) if metric else (),
        best=tuple(best),
        command=command,
    )


def _values(name: str, plan: SweepPlan, runs: Sequence[SweepRun]) -> tuple[object, ...]:
    """That a field takes: as the plan has them, or as the runs of a search have."""
    return tuple(plan.vary.get(name) or dict.fromkeys(run.values[name] for run in runs))


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
        energy_mj=None if device.energy is None else device.energy.inference_mj,
    )


def points_of(runs: Sequence[SweptRun], metric: Metric) -> Iterator[SweptPoint]:
    """Of each target its points, with those marked that no other is better than."""
    points = [point for group in _but_for_seeds(runs) for point in _of_targets(group)]
    lacks_energy = {point.target for point in points if point.energy_mj is None}
    merits = [_merits(p, metric, with_energy=p.target not in lacks_energy) for p in points]
    of_targets: dict[str, set[Merits]] = {}
    for point, own in zip(points, merits, strict=True):
        of_targets.setdefault(point.target, set()).add(own)
    fronts = {target: _front(others) for target, others in of_targets.items()}
    for point, own in zip(points, merits, strict=True):
        yield point.model_copy(update={"on_front": own in fronts[point.target]})


def _merits(point: SweptPoint, metric: Metric, *, with_energy: bool) -> Merits:
    """What a point is compared by, higher for better."""
    energy = (-point.energy_mj,) if with_energy and point.energy_mj is not None else ()
    return -point.latency_ms, -point.size_bytes, metric.rank(point.score), *energy


def _front(points: Iterable[Merits]) -> set[Merits]:
    """Those that no other is at least as good as in all respects.

    Sorted, what beats a point comes before it, and so does one on the front that beats both: few
    are compared with all others, though a sweep has thousands.
    """
    front: list[Merits] = []
    for own in sorted(set(points), reverse=True):
        if not any(all(a >= b for a, b in zip(best, own, strict=True)) for best in front):
            front.append(own)
    return set(front)


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
            energy_mj=_median([own.energy_mj for own in devices]),
            on_front=False,
        )


def _median(values: Sequence[float | None]) -> float | None:
    """None where one is lacking."""
    there = [value for value in values if value is not None]
    return median(there) if len(there) == len(values) else None


def _interval(scores: Sequence[float]) -> Interval | None:
    """Student's, of the mean; None of a single score."""
    if len(scores) < 2:
        return None
    from scipy.stats import t

    centre, freedom = mean(scores), len(scores) - 1
    variance = sum((score - centre) ** 2 for score in scores) / freedom
    half = float(t.isf((1 - CONFIDENCE) / 2, freedom)) * math.sqrt(variance / len(scores))
    return Interval(low=centre - half, high=centre + half)
