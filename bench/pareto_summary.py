"""What the rows of bench/pareto.py say: means, spreads, and by how much ours is ahead.

    python bench/pareto_summary.py bench/results/pareto.json

prints it as Markdown and writes the picture beside the JSON file.
"""

from __future__ import annotations

import base64
import itertools
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pareto_picture import picture
from scipy.stats import bootstrap

from edgespiral.core.system.files import write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = dict[str, Any]
OURS = "ours"
FIRST = ("model", "point", "row")
# A network that says the same of every sample; means leave it out, and say so.
COLLAPSED_PERCENT = 20.0


def packed(correct: NDArray[np.bool_]) -> str:
    """Which test samples were right, as text."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def unpacked(text: str, count: int) -> NDArray[np.float64]:
    """The reverse of `packed`, as 0 and 1."""
    bits = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return np.unpackbits(bits, count=count).astype(float)


def by_row(rows: list[Json]) -> dict[tuple[str, float, str], list[Json]]:
    """Rows that differ in their seeds alone."""
    ordered = sorted(rows, key=lambda row: tuple(row[key] for key in FIRST))
    groups = itertools.groupby(ordered, key=lambda row: tuple(row[key] for key in FIRST))
    return {key: list(found) for key, found in groups}  # type: ignore[misc]


def summary(rows: list[Json]) -> list[Json]:
    """A line for each model, point and row that was reached, over its seeds; see `collapsed`."""
    reached = by_row([row for row in rows if row["reached"]])
    sound = {key: _sound(found) for key, found in reached.items()}
    return [
        _line(key, found, sound) | {"collapsed": len(reached[key]) - len(found)}
        for key, found in sound.items()
        if found
    ]


def _sound(rows: list[Json]) -> list[Json]:
    return [row for row in rows if row["validation_percent"] > COLLAPSED_PERCENT]


def _line(key: tuple[str, float, str], found: list[Json], reached: dict[Any, list[Json]]) -> Json:
    model, point, name = key
    tests = [row["test_percent"] for row in found]
    line = {
        "model": model, "point": point, "row": name, "seeds": len(found),
        "mean_test_percent": statistics.mean(tests),
        "deviation": statistics.stdev(tests) if tests[1:] else None,
        "mean_speedup": statistics.mean(row["speedup"] for row in found),
        "mean_wall_s": statistics.mean(row["wall_s"] for row in found),
        "mean_cpu_s": statistics.mean(row["cpu_s"] for row in found),
        "mean_lost_points": statistics.mean(r["teacher_test_percent"] for r in found)
        - statistics.mean(tests),
    }  # fmt: skip
    ours = reached.get((model, point, OURS))
    return line if name == OURS or not ours else line | {"ours_ahead_points": ahead(ours, found)}


def ahead(ours: list[Json], other: list[Json]) -> Json:
    """Mean difference in points, with the 95 % bootstrap interval over the test's samples.

    It covers which samples the test happens to have, for these very networks; `deviation` tells
    how networks of other seeds differ.
    """
    count = ours[0]["test_samples"]
    means = [
        np.mean([unpacked(row["test_correct"], count) for row in some], axis=0)
        for some in (ours, other)
    ]
    gaps = 100 * (means[0] - means[1])
    found = bootstrap((gaps,), np.mean, n_resamples=2000, method="basic", rng=0)
    low, high = found.confidence_interval
    return {"mean": float(gaps.mean()), "ci95": [float(low), float(high)]}


def markdown(lines: list[Json], rows: list[Json]) -> str:
    """The summary as a table."""
    heads = ("model", "point", "row", "seeds", "measured", "test, %", "lost", "ours ahead", "CPU s")
    told = [heads, ("---", "---:", "---", *["---:"] * 6)]
    told += [
        (
            line["model"], f"{line['point']:g}x", line["row"], str(line["seeds"]),
            f"{line['mean_speedup']:.2f}x", _accuracy(line), f"{line['mean_lost_points']:.2f}",
            _ahead(line), f"{line['mean_cpu_s']:.0f}",
        )
        for line in lines
    ]  # fmt: skip
    out = [
        (m, f"{p:g}x", r, "0", "", f"all {n} collapsed", *[""] * 3)
        for (m, p, r), n in collapsed(rows).items()
    ]
    out += [(m, f"{p:g}x", r, "", "out of reach", *[""] * 4) for m, p, r in unreached(rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (*told, *out))


def collapsed(rows: list[Json]) -> dict[tuple[str, float, str], int]:
    """The points at which every seed of a row collapsed, which have no means; how many did."""
    reached = by_row([row for row in rows if row["reached"]])
    return {key: len(found) for key, found in reached.items() if not _sound(found)}


def unreached(rows: list[Json]) -> list[tuple[str, float, str]]:
    """The points that a row has no cut for."""
    return list(by_row([row for row in rows if not row["reached"]]))


def _accuracy(line: Json) -> str:
    spread = "" if line["deviation"] is None else f" ± {line['deviation']:.2f}"
    collapsed = f" ({line['collapsed']} collapsed)" if line["collapsed"] else ""
    return f"{line['mean_test_percent']:.2f}{spread}{collapsed}"


def _ahead(line: Json) -> str:
    gap = line.get("ours_ahead_points")
    return f"{gap['mean']:+.2f} ({gap['ci95'][0]:+.2f} to {gap['ci95'][1]:+.2f})" if gap else ""


def show(path: Path) -> str:
    """Write the picture of the JSON file `path` beside it; the table as Markdown."""
    rows = json.loads(path.read_text())["rows"]
    lines = summary(rows)
    write_text(path.with_suffix(".svg"), picture(lines, rows))
    return markdown(lines, rows)


if __name__ == "__main__":
    print(show(Path(sys.argv[1])), end="")
