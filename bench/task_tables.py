"""The tables that `bench/tasks.py` writes into pages."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ROWS = ("ours", "uniform", "slim")
SIDES = ("teacher", "score")
# What `bench/task_intervals.py` adds.
LOST, AHEAD = "lost_ci95", "ahead_of_uniform_ci95"
BEGIN, END = "<!-- written by bench/tasks.py -->", "<!-- end -->"
BEGIN_SUMMARY = "<!-- written by bench/tasks.py: ours at 2x -->"
# What may be lost at 2x at most, in the metric's unit.
WANTED = {
    "AP50": 1.5,
    "mIoU": 1.0,
    "accuracy": 0.5,
    "WER": 0.5,
    "BLEU": 0.7,
    "ROC AUC": 0.3,
    "HR@10": 0.5,
}


def groups_of(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows that differ in their seeds alone, in the order of the table."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("task", "data", "model", "asked", "row"))
        groups.setdefault(key, []).append(row)
    order = sorted(groups, key=lambda key: (*key[:4], ROWS.index(key[4])))
    return [groups[key] for key in order]


def lost(row: dict[str, Any]) -> float:
    """By how much a student is worse than its teacher, in the metric's unit."""
    difference = row["teacher"] - row["score"]
    return difference if row["higher_is_better"] else -difference


def is_met(members: list[dict[str, Any]]) -> bool:
    """Whether each reached the speed-up that was asked for."""
    return {member["outcome"] for member in members} <= {"met"}


def table(rows: list[dict[str, Any]]) -> str:
    """All rows as a Markdown table, means over seeds, with each seed's loss."""
    is_compared = any(AHEAD in row for row in rows)
    heads = ["task", "data", "model", "asked", "row", "speed-up", "metric", "teacher", "student"]
    heads += ["lost (95 %)", *["ahead of uniform (95 %)"] * is_compared]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for members in groups_of(rows):
        first = members[0]
        speedups = ", ".join(f"{member['speedup']:.2f}" for member in members)
        reached = "" if is_met(members) else " (not met)"
        scores = [written(mean(one[side] for one in members), first) for side in SIDES]
        losses = ", ".join(
            written(lost(member), first) + (f" ({between(member, LOST)})" if LOST in member else "")
            for member in members
        )
        ahead = ", ".join(between(member, AHEAD) for member in members if AHEAD in member)
        cells = [first["task"], first["data"], f"`{first['model']}`", f"{first['asked']:g}x"]
        cells += [first["row"], speedups + reached, label(first), *scores, losses]
        cells += [ahead] * is_compared
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def written(value: float, row: dict[str, Any]) -> str:
    """A figure of a row's metric."""
    return f"{value:.{2 if row['unit'] else 3}f}"


def between(row: dict[str, Any], key: str) -> str:
    """An interval of a row."""
    low, high = (written(bound, row) for bound in row[key])
    return f"{low} to {high}"


def label(row: dict[str, Any]) -> str:
    """The metric and its unit."""
    return f"{row['metric']} {row['unit']}".strip()


def summary(rows: list[dict[str, Any]]) -> str:
    """Our rows at 2x beside what was wanted, as a Markdown table."""
    lines = [
        "| task | data | speed-up | metric | teacher | student | lost | wanted | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for members in groups_of([row for row in rows if row["row"] == "ours" and row["asked"] == 2]):
        first, loss, reached = members[0], mean(map(lost, members)), is_met(members)
        most = WANTED.get(first["metric"])
        speedup = f"{mean(one['speedup'] for one in members):.2f}"
        cells = [first["task"].partition("?")[0], first["data"]]
        cells += [speedup if reached else "not met", label(first)]
        cells += [written(mean(one[side] for one in members), first) for side in SIDES]
        # What was not cut has lost nothing, which says nothing.
        cells += [written(loss, first) if reached else ""]
        missed = " (missed)" if reached and most is not None and loss > most else ""
        cells += ["" if most is None else f"{most:g}{missed}", str(len(members))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_page(page: Path, rows: list[dict[str, Any]]) -> None:
    """Put the table between the marks of a page, the one that the marks name."""
    text = page.read_text(encoding="utf-8")
    for begin, table_of in ((BEGIN, table), (BEGIN_SUMMARY, summary)):
        before, mark, rest = text.partition(f"{begin}\n")
        if mark:
            _, _, after = rest.partition(END)
            text = f"{before}{mark}\n{table_of(rows)}\n\n{END}{after}"
    page.write_text(text, encoding="utf-8")
