"""What bench/gate.py found, as a Markdown table for docs/bench.md.

    python bench/gate_table.py bench/results/gate.json

Shares are in percent, with exact 95 % intervals.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def table(document: Json) -> str:
    """The share of alarms of each method as Markdown, for docs/bench.md."""
    found = document["trials"]
    heads = [f"{name} ({one['alarms']['gate']['of']})" for name, one in found.items()]
    rows = [["alarms, % of trials", *heads], ["---", *["---:"] * len(heads)]]
    rows += [
        [method, *(_share(one["alarms"][method]) for one in found.values())]
        for method in next(iter(found.values()))["alarms"]
    ]
    rows.append(["gate: undecided", *(_share(one["gate_undecided"]) for one in found.values())])
    seconds = [f"{one['gate_seconds']['p90']:.1f}" for one in found.values()]
    rows.append(["gate: seconds, p90", *seconds])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _share(one: Json) -> str:
    low, high = one["ci95_percent"]
    return f"{one['percent']:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text())), end="")
