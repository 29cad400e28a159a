"""What learning rate suits a cut network, by the number of training steps, and on which views.

Each job trains the same cut network for some steps with a whole schedule, on batches that are the
same for all, and scores it on the validation split. Judge by that split alone. The test split is
never looked at. Rows that are there are not run again, so it can be stopped and gone on with.

    python bench/rates.py resnet20 WEIGHTS --data fashion-mnist --steps 16 128 --rates 0.002 0.02
    python bench/rates.py resnet20 WEIGHTS --data digits --name "ResNet-20, digits" --seeds 0 1 2
    python bench/rates.py resnet20 WEIGHTS --data digits --views stored augmented --rates 0.02

Rows without `views` are of samples as they are stored.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
from dataclasses import replace
from pathlib import Path

import edgespiral
from edgespiral.core.errors import TrainingError
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.distill.batchnorm import recalibrate_batchnorm
from edgespiral.distill.evaluate import score
from edgespiral.distill.settings import TrainSettings, steps_of
from edgespiral.distill.trainer import Objective, train
from edgespiral.models import load_model_for
from edgespiral.tasks.classification import CLASSIFICATION

BATCH = 128
STORED, AUGMENTED = "stored", "augmented"


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--fraction", type=float, default=0.4)
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 16, 32, 128])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.002, 0.006, 0.02, 0.06])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--views", nargs="+", choices=(STORED, AUGMENTED), default=[STORED])
    parser.add_argument("--optimizer", choices=("sgd", "adamw"), default="sgd")
    parser.add_argument("--name", help="what rows call the pair; MODEL on DATA if not given")
    parser.add_argument("--json", type=Path, default=Path("bench/results/rates.json"))
    args = parser.parse_args()
    document = json.loads(args.json.read_text()) if args.json.exists() else {"rows": []}
    shown = load(args.data)
    splits = shown.unaugmented()
    teacher = load_model_for(splits, args.model, weights=args.weights).eval()
    student = edgespiral.cut(teacher, data=splits, fraction=args.fraction)
    recalibrate_batchnorm(student, splits.train, batches=30)
    facts = {"pair": args.name or f"{args.model} on {args.data}", "fraction": args.fraction}
    after_cut = score(student, splits.validation, task=CLASSIFICATION)
    facts |= {"optimizer": args.optimizer, "after_cut": after_cut}
    jobs = itertools.product(args.steps, args.rates, args.seeds, args.views)
    for steps, rate, seed, views in jobs:
        job = {**facts, "steps": steps, "rate": rate, "seed": seed, "views": views}
        if any(job.items() <= {"views": STORED, **row}.items() for row in document["rows"]):
            continue
        settings = TrainSettings.for_distillation(
            epochs=1.0,
            batch_size=BATCH,
            learning_rate=rate,
            temperature=4.0,
            alpha=0.9,
            seed=seed,
            optimizer=args.optimizer,
        )
        epochs = steps / steps_of(settings, len(splits.train))
        trained = copy.deepcopy(student)
        try:
            train(
                trained,
                shown if views == AUGMENTED else splits,
                replace(settings, epochs=epochs),
                Objective(CLASSIFICATION, teachers=[teacher]),
            )
            reached: float | None = score(trained, splits.validation, task=CLASSIFICATION)
        except TrainingError:
            reached = None
        document["rows"].append({**job, "validation": reached})
        write_text(args.json, json.dumps({"versions": versions(), **document}, indent=1) + "\n")
        print(json.dumps(document["rows"][-1]), flush=True)


if __name__ == "__main__":
    main()
