"""How many turns, which teacher, which criterion: accuracy at equal budget and epochs, as JSON.

Usage: python bench/policy.py MODEL TEACHER.safetensors [--points 2 3 4] [--turns 1 2 3]
           [--teachers original previous both] [--criteria fisher] [--seeds 0] [--epochs 2]
           [--stop-after-s S] [--json FILE]

Runs `edgespiral compress` as a user would. The epochs are of the whole run: more turns share them.
With one turn there is one teacher only. Policies are compared on the validation split, which no
step of training sees; the test accuracy is written beside it, and chooses nothing. Runs that are in
the JSON file are not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions

DATA = "fashion-mnist"


class Job(NamedTuple):
    """One run."""

    model: str
    point: float
    turns: int
    teacher: str
    criterion: str
    epochs: float
    seed: int


def run(job: Job, weights: Path) -> dict[str, Any]:
    """One run and what came of it."""
    with tempfile.TemporaryDirectory(prefix="edgespiral-") as folder:
        out = Path(folder) / "run"
        command = [
            *(sys.executable, "-m", "edgespiral", "compress", job.model, "--data", DATA),
            *("--weights", str(weights), "--speedup", str(job.point), "--max-drop", "20"),
            *("--turns", str(job.turns), "--teacher", job.teacher, "--seed", str(job.seed)),
            *("--criterion", job.criterion, "--epochs", str(job.epochs), "--out", str(out)),
            *("--latency-cache", str(out / "latency")),
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        wall_s = time.perf_counter() - start
        result = json.loads((out / "result.json").read_text())
    return {
        **job._asdict(),
        "outcome": result["outcome"],
        "speedup": result["devices"][0]["speedup"]["value"],
        "validation_percent": result["student"]["validation_score"],
        "test_percent": result["student"]["test_score"],
        "seconds": result["seconds"],
        "wall_s": wall_s,
    }


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, the best policy of each point first."""
    names = Job._fields[:-1]
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault(tuple(row[name] for name in names), []).append(row)
    means = [
        {
            **dict(zip(names, key, strict=True)),
            "seeds": len(found),
            "validation_percent": statistics.mean(row["validation_percent"] for row in found),
            "test_percent": statistics.mean(row["test_percent"] for row in found),
            "speedup": statistics.mean(row["speedup"] for row in found),
        }
        for key, found in lines.items()
    ]
    return sorted(means, key=lambda m: (m["model"], m["point"], -m["validation_percent"]))


def jobs(args: argparse.Namespace) -> list[Job]:
    """All runs asked for, one seed of everything before the next."""
    turns = itertools.product(args.turns, args.teachers)
    policies = [(count, name) for count, name in turns if count > 1 or name == args.teachers[0]]
    every = itertools.product(args.seeds, args.points, policies, args.criteria)
    return [
        Job(args.model, point, count, name, criterion, args.epochs, seed)
        for seed, point, (count, name), criterion in every
    ]


def main() -> None:
    """Run what is missing, then print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--points", type=float, nargs="+", default=[2.0, 3.0, 4.0])
    parser.add_argument("--turns", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--teachers", nargs="+", default=["original", "previous", "both"])
    parser.add_argument("--criteria", nargs="+", default=["fisher"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--stop-after-s", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, default=Path("bench/results/policy.json"))
    args, start = parser.parse_args(), time.perf_counter()
    rows = json.loads(args.json.read_text())["rows"] if args.json.exists() else []
    known = {Job(**{key: row[key] for key in Job._fields}) for row in rows}
    for job in jobs(args):
        if job in known or time.perf_counter() - start > args.stop_after_s:
            continue
        rows.append(run(job, args.weights))
        found = {"versions": versions(), "summary": summary(rows), "rows": rows}
        write_text(args.json, json.dumps(found, indent=1) + "\n")
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
