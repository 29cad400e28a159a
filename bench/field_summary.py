"""What the rows of bench/field.py say: means over seeds, what was lost, and what was aimed at."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

Json = dict[str, Any]
OURS = "ours"


class Aim(NamedTuple):
    """The accuracy on test that was to be reached at a speed-up, with some epochs at most."""

    network: str
    speedup: float
    test_percent: float
    most_epochs: float


# Published rows at about as many times fewer operations, some of them with 100 epochs and more.
AIMS = (
    Aim("ResNet-56, CIFAR-10", 2.0, 93.7, 20.0),
    Aim("ResNet-56, CIFAR-10", 3.0, 93.0, 20.0),
    Aim("ResNet-56, CIFAR-10", 4.0, 92.3, 20.0),
)


def lines_of(rows: list[Json]) -> list[Json]:
    """Of each network, row and point the mean over its seeds, as the picture takes them."""
    return [
        {
            "model": first["network"],
            "row": f"{first['row']}, {first['epochs']:g} epochs",
            "name": first["row"],
            "epochs": first["epochs"],
            "asked": first["asked"],
            "seeds": len(some),
            "mean_test_percent": statistics.mean(row["test_percent"] for row in some),
            "deviation": _half_spread([row["test_percent"] for row in some]),
            "mean_speedup": statistics.mean(row["speedup"] for row in some),
            "mean_lost_points": statistics.mean(
                row["teacher_test_percent"] - row["test_percent"] for row in some
            ),
            "mean_wall_s": statistics.mean(row["wall_s"] for row in some),
            "mean_search_s": statistics.mean(row["search_s"] for row in some),
        }
        for some in _by_line([row for row in rows if row["reached"]])
        for first in some[:1]
    ]


def curves_of(rows: list[Json]) -> list[Json]:
    """Of each network and point the rows that were trained for several numbers of epochs."""
    lines = [line | {"row": line["name"]} for line in lines_of(rows) if line["asked"]]
    lines = [line | {"model": f"{line['model']}, {line['asked']:g}x"} for line in lines]
    lengths: dict[tuple[str, str], int] = {}
    for line in lines:
        key = (line["model"], line["row"])
        lengths[key] = lengths.get(key, 0) + 1
    return [line for line in lines if lengths[line["model"], line["row"]] > 1]


def _by_line(rows: list[Json]) -> list[list[Json]]:
    """Rows that differ in their seeds alone: by network and point, ours before others."""
    groups: dict[tuple[Any, ...], list[Json]] = {}
    for row in rows:
        key = (row["network"], row["asked"] or 0.0, row["row"] != OURS, row["row"], row["epochs"])
        groups.setdefault(key, []).append(row)
    return [groups[key] for key in sorted(groups)]


def _half_spread(values: list[float]) -> float | None:
    return (max(values) - min(values)) / 2 if len(values) > 1 else None


def markdown(rows: list[Json]) -> str:
    """A table of all rows, and below it those that no cut reaches."""
    heads = (
        *("network", "asked", "row", "epochs", "seeds", "measured"),
        *("test, %", "lost", "seconds", "of which its search"),
    )
    told = [heads, ("---", "---:", "---", *["---:"] * 7)]
    told += [
        (
            line["model"],
            f"{line['asked']:g}x" if line["asked"] else "",
            f"**{line['name']}**" if line["name"] == OURS else line["name"],
            f"{line['epochs']:g}",
            str(line["seeds"]),
            f"{line['mean_speedup']:.2f}x",
            f"{line['mean_test_percent']:.2f}" + _spread(line["deviation"]),
            f"{line['mean_lost_points']:.2f}",
            f"{line['mean_wall_s']:.0f}",
            f"{line['mean_search_s']:.0f}" if line["mean_search_s"] else "in it",
        )
        for line in lines_of(rows)
    ]
    told += [
        (
            *(row["network"], f"{row['asked']:g}x", row["row"], f"{row['epochs']:g}", ""),
            *(f"{row['fastest']:.2f}x at most", "out of reach", "", "", ""),
        )
        for row in rows
        if not row["reached"]
    ]
    return table(told)


def _spread(half: float | None) -> str:
    return "" if half is None else f" ± {half:.2f}"


def aims_markdown(rows: list[Json]) -> str:
    """What was aimed at, what ours has come to, and what is missing."""
    told: list[tuple[str, ...]] = [
        ("network", "asked", "aim, test %", "ours", "epochs", "missed by"),
        ("---", "---:", "---:", "---:", "---:", "---:"),
    ]
    told += [_against(aim, lines_of(rows)) for aim in AIMS]
    return table(told)


def _against(aim: Aim, lines: list[Json]) -> tuple[str, ...]:
    head = (aim.network, f"{aim.speedup:g}x", f"{aim.test_percent:.1f}")
    reached = [
        line
        for line in lines
        if (line["model"], line["name"], line["asked"]) == (aim.network, OURS, aim.speedup)
        and line["epochs"] <= aim.most_epochs
    ]
    if not reached:
        return (*head, "not run", "", "")
    best = max(reached, key=lambda line: line["mean_test_percent"])
    gap = aim.test_percent - best["mean_test_percent"]
    missed = f"{gap:.2f} points" if gap > 0 else "reached"
    return (*head, f"{best['mean_test_percent']:.2f}", f"{best['epochs']:g}", missed)


def table(lines: list[tuple[str, ...]]) -> str:
    """Markdown of rows of cells, the heads and what is below them first."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
