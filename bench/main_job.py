"""The main job on Fashion-MNIST: 2.2x on host-cpu with two epochs of distillation, as JSON.

Usage: python bench/main_job.py --weights TEACHER.safetensors [--seeds 0 1 2] [--json FILE]

Runs `edgespiral compress` as a user would, once a seed, and reads the run folder. Nothing else
should run on the machine: the shares of wall time are of this machine at this moment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgespiral.api import measure_models
from edgespiral.core.records.events import Candidate, TurnFinished
from edgespiral.core.records.journal import read

SPEEDUP = 2.2
EPOCHS = 2
TRAINING = "distil"


def one(weights: Path, seed: int, out: Path) -> dict[str, Any]:
    """One run and what its folder says of it."""
    command = [
        *(sys.executable, "-m", "edgespiral", "compress", "resnet20", "--data", "fashion-mnist"),
        *("--weights", str(weights), "--speedup", str(SPEEDUP), "--epochs", str(EPOCHS)),
        *("--seed", str(seed), "--out", str(out), "--latency-cache", str(out / "latency")),
    ]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    wall_s = time.perf_counter() - start
    result = json.loads((out / "result.json").read_text())
    events = read(out / "journal.jsonl")
    turns = [event for event in events if isinstance(event, TurnFinished)]
    training_s = sum(turn.seconds.get(TRAINING, 0.0) for turn in turns)
    teacher, student = measure_models([out / "teacher" / "model.onnx", out / "model.onnx"])
    return {
        "seed": seed,
        "outcome": result["outcome"],
        "turns": len(turns),
        "candidates_measured": sum(isinstance(event, Candidate) for event in events),
        "teacher_test_percent": result["teacher"]["test_score"],
        "student_test_percent": result["student"]["test_score"],
        "student_validation_percent": result["student"]["validation_score"],
        "speedup": result["devices"][0]["speedup"]["value"],
        "share_of_budget": SPEEDUP / result["devices"][0]["speedup"]["value"],
        "speedup_in_a_fresh_process": teacher.stats.p50_ms / student.stats.p50_ms,
        "budget_ms": result["devices"][0]["budget_ms"],
        "median_in_a_fresh_process_ms": student.stats.p50_ms,
        "wall_s": wall_s,
        "training_s": training_s,
        "share_planning_cutting_exporting_measuring": _overhead_s(turns) / wall_s,
        "share_not_distillation": 1 - training_s / wall_s,
        "seconds": turns[-1].seconds,
        "widths": result["widths_after"],
    }


def _overhead_s(turns: list[TurnFinished]) -> float:
    return sum(s for turn in turns for phase, s in turn.seconds.items() if phase != TRAINING)


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path, default=Path("bench/results/main_job.json"))
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edgespiral-") as folder:
        rows = [one(asked.weights, seed, Path(folder) / str(seed)) for seed in asked.seeds]
    accuracies = [row["student_test_percent"] for row in rows]
    document = {
        "command": "python bench/main_job.py --weights TEACHER.safetensors --seeds "
        + " ".join(map(str, asked.seeds)),
        "mean_student_test_percent": statistics.mean(accuracies),
        "rows": rows,
    }
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
