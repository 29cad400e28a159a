"""Whether `compress --runtime auto` gives up anything: against a run on each runtime by itself.

    python bench/runtimes.py --compress --json bench/results/runtimes.json --page docs/runtimes.md

The digits ResNet-20 is compressed with one plan and one seed, once with `auto` and once on each
runtime that `auto` may choose. Then all students take turns in one session, each on the runtime
that it was made on. `auto` would be slower at equal accuracy if a row were faster than its student
for certain (whole 95 % interval) and no less accurate on the test split.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral import Plan, compress
from edgespiral.measure.model_files import MODEL, model_sha256
from edgespiral.measure.profile import load_profile
from edgespiral.measure.racing.entrants import AUTO, Entrant, entrants, with_runtime
from edgespiral.measure.racing.race import PASSES, race

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgespiral.core.records.measurement import Race, RaceRow
    from edgespiral.core.records.result import Result

    Json = dict[str, Any]

# Beside model, data and runtime; one turn, so that runs differ by little else.
ASKED = {"speedup": 1.5, "epochs": 8.0, "turns": 1, "max_drop": 3.0}
COLUMNS = ("seed", "run", "runtime", "outcome", "test accuracy, %", "ms", "`auto` is times as fast")


@dataclass(frozen=True)
class _Run:
    asked_for: str
    seed: int
    result: Result
    file: Path
    entrant: Entrant
    wall_s: float


def rows_of(weights: Path, target: str, seeds: Iterable[int]) -> list[Json]:
    """A row for each run and seed.

    Args:
        weights: of a digits ResNet-20.
        target: by name.
        seeds: of the runs.
    """
    lanes = entrants(load_profile(target), to_plan_on=True)
    names = [AUTO, *dict.fromkeys(lane.profile.runtime.kind for lane in lanes)]
    rows: list[Json] = []
    with tempfile.TemporaryDirectory(prefix="edgespiral-bench-") as folder:
        for seed in seeds:
            out = Path(folder) / str(seed)
            runs = [_run(name, seed, weights, target, out / name) for name in names]
            rows += _rows(runs)
    return rows


def _run(runtime: str, seed: int, weights: Path, target: str, out: Path) -> _Run:
    plan = Plan(weights=str(weights), target=target, runtime=runtime, seed=seed, **ASKED)
    started_s = time.monotonic()
    result = compress("resnet20", "digits", plan, out=out).result
    chosen = result.races[0].won.runtime if runtime == AUTO else runtime
    own = with_runtime(load_profile(target), chosen)
    lane = Entrant(own, own.runtime.float_precision, out / MODEL)
    wall_s = time.monotonic() - started_s
    print(f"{runtime}, seed {seed}: {result.outcome.value} in {wall_s:.0f} s", flush=True)
    return _Run(runtime, seed, result, out / MODEL, lane, wall_s)


def _rows(runs: Sequence[_Run]) -> list[Json]:
    """The students of one seed in one session; that of `auto` is what the others are held to.

    A run that ships nothing has no row.
    """
    runs = [run for run in runs if run.file.is_file()]
    # What each computes on its device was held against its file before it shipped.
    raced = race(
        runs[0].file,
        [run.entrant for run in runs],
        lambda *_: None,
        samples="none: each run has compared its own",
        passes=PASSES,
    )
    first = runs[0].result.student
    return [_row(run, _own(run, raced), first.test_score) for run in runs]


def _own(run: _Run, raced: Race) -> RaceRow:
    """A run's row; two runs may have come to the same file, and only that of `auto` is no ratio."""
    place = (run.entrant.profile.runtime.kind, model_sha256(run.file))
    rows = [
        row
        for row in raced.rows
        if row.measurement is not None and (row.runtime, row.measurement.model_sha256) == place
    ]
    return next((row for row in rows if (row.speedup is None) == (run.asked_for == AUTO)), rows[0])


def _row(run: _Run, row: RaceRow, auto_score: float) -> Json:
    assert row.measurement is not None
    stats, score = row.measurement.stats, run.result.student.test_score
    speedup = row.speedup
    facts: Json = {
        "seed": run.seed,
        "run": run.asked_for,
        "runtime": row.runtime,
        "outcome": run.result.outcome.value,
        "test_score": score,
        "p50_ms": stats.p50_ms,
        "p50_ci95_ms": [stats.p50_ci95_ms.low, stats.p50_ci95_ms.high],
        "wall_s": run.wall_s,
    }
    if speedup is None:
        return facts
    # In pairs, round by round: how many times as long this run's student takes as that of `auto`.
    low, high = 1 / speedup.ci95.high, 1 / speedup.ci95.low
    facts["auto_times_as_fast"] = {"value": 1 / speedup.value, "ci95": [low, high]}
    return {**facts, "refutes": high < 1 and score >= auto_score}


def table(rows: Sequence[Json]) -> str:
    """A line for each run, in Markdown, and what they say together."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| ---: | --- | --- | --- | ---: | ---: | ---: |"]
    for row in rows:
        cells = [str(row["seed"]), f"`{row['run']}`", f"`{row['runtime']}`", row["outcome"]]
        cells += [f"{row['test_score']:.1f}", f"{row['p50_ms']:.3g}", _ratio(row)]
        lines.append(f"| {' | '.join(cells)} |")
    refuting = [f"{row['run']} (seed {row['seed']})" for row in rows if row.get("refutes")]
    last = (
        f"Faster than `auto` for certain and no less accurate: {', '.join(refuting) or 'no run'}."
    )
    return "\n".join([*lines, "", last])


def _ratio(row: Json) -> str:
    if "auto_times_as_fast" not in row:
        return ""
    ratio = row["auto_times_as_fast"]
    low, high = ratio["ci95"]
    return f"{ratio['value']:.2f} ({low:.2f}\N{EN DASH}{high:.2f})"
