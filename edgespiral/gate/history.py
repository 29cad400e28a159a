"""Stored results over time: a trend for each model, with the points where its level changed."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import UsageError
from edgespiral.gate.baseline import otherwise, read_result
from edgespiral.gate.records import Break, History, HistoryPoint, Shift, Trend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.gate.records import BenchResult, CaseResult

# A level is only one that three results share: one odd result is no change.
LEAST_POINTS = 3
# What a change point must explain, in spreads times the logarithm of the number of results. Of
# series without a change, at most 2 in 100 show one then (150 of each kind: 8 to 50 results,
# normal noise and Student's t with three degrees of freedom).
PENALTY = 4.0
# Results agree more closely by luck when they are few.
LEAST_SPREAD = 0.002


def read_results(paths: Sequence[Path]) -> list[BenchResult]:
    """The results of files and of all JSON files right in folders, oldest first, each once.

    Raises:
        UsageError: a folder has none, or one cannot be read, is damaged or of another schema
            version.
    """
    read: list[BenchResult] = []
    for file in (file for path in paths for file in _files(path)):
        result = read_result(file)
        if result not in read:
            read.append(result)
    return sorted(read, key=lambda result: result.finished_at)


def history(results: Sequence[BenchResult]) -> History:
    """A trend for each model of each suite and target.

    Raises:
        UsageError: no model of any result was measured.
    """
    by_model: dict[tuple[str, str, str], list[tuple[BenchResult, CaseResult]]] = defaultdict(list)
    for result in results:
        for case in result.cases:
            if case.measurement is not None:
                by_model[result.suite, result.target, case.name].append((result, case))
    if not by_model:
        raise UsageError("no model was measured in any of these results")
    return History(trends=tuple(_trend(*names, cases) for names, cases in by_model.items()))


def shifts(values: Sequence[float]) -> list[int]:
    """Where a series of logarithms changes its level: indices of the first point of each new one.

    PELT (Killick, Fearnhead and Eckley 2012) with the absolute deviation from the median as a
    segment's cost, which no single outlier moves. The spread is that of successive differences,
    which a change of level hardly touches.
    """
    if len(values) < 2 * LEAST_POINTS:
        return []
    from ruptures import Pelt

    series = np.asarray(values, dtype=float)
    spread = float(np.median(np.abs(np.diff(series)))) / (0.6745 * math.sqrt(2))
    penalty = PENALTY * max(spread, LEAST_SPREAD) * math.log(len(series))
    search = Pelt(model="l1", min_size=LEAST_POINTS, jump=1).fit(series)
    return [int(end) for end in search.predict(pen=penalty)[:-1]]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.json"))
    if not files:
        raise UsageError("no results here", where=str(path), hint="edgespiral bench --out")
    return files


def _trend(
    suite: str, target: str, model: str, cases: Sequence[tuple[BenchResult, CaseResult]]
) -> Trend:
    points = tuple(_point(result, case) for result, case in cases)
    breaks = _breaks([case for _, case in cases])
    edges = [0, *(change.index for change in breaks), len(points)]
    level_changes = [
        shift
        for start, stop in pairwise(edges)
        for shift in _shifts([point.p50_ms for point in points[start:stop]], start)
    ]
    return Trend(
        suite=suite,
        target=target,
        model=model,
        points=points,
        shifts=tuple(level_changes),
        breaks=tuple(breaks),
    )


def _point(result: BenchResult, case: CaseResult) -> HistoryPoint:
    assert case.measurement is not None  # `history` takes no others
    changes = [check.value for check in case.checks if check.kind == "median"]
    stats = case.measurement.stats
    return HistoryPoint(
        at=result.finished_at,
        commit=result.git_commit,
        p50_ms=stats.p50_ms,
        ci95_ms=stats.p50_ci95_ms,
        change_percent=changes[0] if changes else None,
        verdict=case.verdict,
    )


def _breaks(cases: Sequence[CaseResult]) -> list[Break]:
    breaks = []
    for index, (before, now) in enumerate(pairwise(cases), start=1):
        differences = otherwise(before.measurement, now.measurement) if now.measurement else []
        if before.shapes != now.shapes:
            differences.append(f"input shapes were {before.shapes}, are {now.shapes}")
        if differences:
            breaks.append(Break(index=index, differences=tuple(differences)))
    return breaks


def _shifts(levels_ms: Sequence[float], start: int) -> list[Shift]:
    """The changes of level within results that compare; `start` is the first one's index."""
    edges = [0, *shifts(np.log(levels_ms).tolist()), len(levels_ms)]
    medians = [float(np.median(levels_ms[a:b])) for a, b in pairwise(edges)]
    return [
        Shift(index=start + at, before_ms=before, after_ms=after)
        for at, (before, after) in zip(edges[1:-1], pairwise(medians), strict=True)
    ]
