"""Keyword spotting, text classification and speech recognition at 2x and 4x on host-cpu, as JSON.

Usage: python bench/sequences.py FOLDER [--jobs keywords clinc ...] [--asked 2 4] [--seed 0]
       [--json FILE]

FOLDER has what `bench/sequence_data.py` makes, a folder a job, and gets the runs. Each job trains
a teacher once and compresses it to each speed-up, by the command line, as a user would. Rows that
FILE has already are kept; each is written as soon as it is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """A task on some data.

    Attributes:
        source: what comes before the folder, and what after it.
        epochs: of the teacher, and of each student.
    """

    task: str
    model: str
    source: tuple[str, str]
    folder: str
    epochs: tuple[float, float]


JOBS = {
    "keywords": Job("keyword-spotting", "ds-cnn", ("speech:", "?seconds=1"), "keywords", (15, 5)),
    "keywords-bc-resnet": Job(
        "keyword-spotting", "bc-resnet", ("speech:", "?seconds=1"), "keywords", (15, 5)
    ),
    "digits": Job("keyword-spotting", "gru-kws", ("speech:", "?seconds=1"), "digits", (10, 5)),
    "clinc": Job("classification", "gru-text", ("text:", ""), "clinc", (8, 4)),
    "clinc-transformer": Job("classification", "transformer-text", ("text:", ""), "clinc", (8, 4)),
    "banking": Job("classification", "lstm-text", ("text:", "?length=32"), "banking", (10, 4)),
    "strings": Job("speech-recognition", "ctc-gru", ("transcripts:", ""), "strings", (10, 4)),
}


def command(*words: object) -> None:
    """Run `edgespiral`; what it says goes to the terminal."""
    subprocess.run([sys.executable, "-m", "edgespiral", *map(str, words)], check=True)


def run(job: Job, folder: Path, runs: Path, asked: float, seed: int) -> Path:
    """Train the teacher and compress it, or go on with what is there; the run folder."""
    before, after = job.source
    source = f"{before}{folder / job.folder}{after}"
    common = (job.model, "--data", source, "--task", job.task)
    teacher, out = runs / f"teacher-{seed}", runs / f"{asked:g}x-{seed}"
    passes = ("--epochs", job.epochs[0])
    command("train", *common, "--out", teacher, *passes, "--seed", seed, "--resume")
    weights = teacher / "weights.safetensors"
    budget = ("--speedup", asked, "--epochs", job.epochs[1], "--max-drop", 100, "--seed", seed)
    command("compress", *common, "--weights", weights, "--out", out, *budget, "--resume")
    return out


def row(job: Job, out: Path, asked: float, seed: int) -> dict[str, Any]:
    """What a run folder says."""
    result = json.loads((out / "result.json").read_text())
    metric, teacher_facts, student = result["metric"], result["teacher"], result["student"]
    [device] = result["devices"]
    return {
        "task": job.task,
        "data": job.folder,
        "model": job.model,
        "row": "ours",
        "seed": seed,
        "asked": asked,
        "outcome": result["outcome"],
        "speedup": device["speedup"]["value"],
        "speedup_ci95": [device["speedup"]["ci95"]["low"], device["speedup"]["ci95"]["high"]],
        "metric": metric["name"],
        "unit": metric["unit"],
        "higher_is_better": metric["higher_is_better"],
        "teacher": teacher_facts["test_score"],
        "score": student["test_score"],
        "teacher_beside": {one["metric"]["name"]: one["value"] for one in teacher_facts["beside"]},
        "beside": {one["metric"]["name"]: one["value"] for one in student["beside"]},
        "teacher_ms": device["teacher"]["stats"]["p50_ms"],
        "teacher_parameters": teacher_facts["parameter_count"],
        "parameters": student["parameter_count"],
    }


def main() -> None:
    """Measure the jobs asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", nargs="*", choices=JOBS, default=list(JOBS))
    parser.add_argument("--asked", nargs="*", type=float, default=[2.0, 4.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("bench/results/sequences.json"))
    given = parser.parse_args()
    rows = json.loads(given.json.read_text())["rows"] if given.json.is_file() else []
    for name in given.jobs:
        for asked in given.asked:
            job = JOBS[name]
            runs = given.folder / "runs" / name
            found = row(job, run(job, given.folder, runs, asked, given.seed), asked, given.seed)
            keys = ("task", "data", "model", "seed", "asked")
            rows = [one for one in rows if any(one[key] != found[key] for key in keys)]
            rows.append(found)
            given.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
