"""What SGD and AdamW reach at their default rates, for one network on some data, as JSON.

Usage: python bench/optimizers.py MODEL --data DATA [--task TASK] [--epochs 2] [--seeds 0]
           [--json FILE]

Scores are on the validation split, which the default optimizer was chosen by (docs/training.md).
Rows that FILE has already are kept; each is written as soon as it is measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import edgespiral
from edgespiral.core.errors import TrainingError
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions

OPTIMIZERS = ("sgd", "adamw")


def reached(options: argparse.Namespace, optimizer: str, seed: int) -> float | None:
    """The validation score of one training; None where it diverged."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            trained = edgespiral.train_teacher(
                options.model,
                options.data,
                out=Path(folder) / "teacher",
                task=options.task,
                epochs=options.epochs,
                batch_size=options.batch_size,
                seed=seed,
                optimizer=optimizer,
            )
        except TrainingError:
            return None
    return trained.validation_score


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--task", default="classification")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--name", help="what rows call the pair; MODEL on DATA if not given")
    parser.add_argument("--json", type=Path, default=Path("bench/results/optimizers.json"))
    options = parser.parse_args()
    known = json.loads(options.json.read_text()) if options.json.exists() else {"rows": []}
    rows = known["rows"]
    for seed, optimizer in itertools.product(options.seeds, OPTIMIZERS):
        job = {"pair": options.name or f"{options.model} on {options.data}", "seed": seed}
        job |= {"epochs": options.epochs, "optimizer": optimizer}
        if not any(job.items() <= row.items() for row in rows):
            rows.append({**job, "validation": reached(options, optimizer, seed)})
            text = json.dumps({"versions": versions(), "rows": rows}, indent=1)
            write_text(options.json, text + "\n")
            print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
