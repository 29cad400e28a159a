"""What helps a cut network learn: losses, schedules and averages at equal epochs, as JSON.

Usage: python bench/distillation.py MODEL TEACHER.safetensors [--recipes kd ...] [--share 0.5]
           [--seeds 0 1] [--epochs 2] [--stop-after-s S] [--json FILE]

One cut for all: NNI's L1 norm, `--share` of every group kept in steps of 8 channels. Recipes are
compared on the validation split, by accuracy and by cross-entropy (which tells smaller differences
apart); the test split is not read. What is in the JSON file is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distillation_losses
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.distill.batchnorm import recalibrate_batchnorm
from edgespiral.distill.evaluate import score
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel, cut_to
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.run import load_teacher
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from edgespiral.core.batches import DataSplits

DATA = "fashion-mnist"
STEP = 8
RECALIBRATION_BATCHES = 30
# Weights are averaged at each tenth step, so that this is 0.99 a step.
EMA_DECAY = 0.99**10


@dataclass(frozen=True)
class Recipe:
    """Changes to the package's settings; with `hints`, stages are compared too.

    All see augmented samples, as their teacher did, unless they are `plain`.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    hints: bool = False
    averaged: bool = False
    plain: bool = False


RECIPES = {
    "kd": Recipe(),
    "cross-entropy alone": Recipe({"alpha": 0.0}),
    "kd, tau 1, no labels": Recipe({"temperature": 1.0, "alpha": 1.0}),
    "kd, tau 2": Recipe({"temperature": 2.0}),
    "standardised": Recipe({"loss": "standardised", "temperature": 2.0}),
    "dist": Recipe({"loss": "dist"}),
    "dkd": Recipe({"loss": "dkd", "alpha": 0.5}),
    "kd and attention maps": Recipe({"loss": "kd and hints"}, hints=True),
    "kd, cosine": Recipe({"schedule": "cosine"}),
    "kd, averaged weights": Recipe(averaged=True),
    "kd, rate 0.05": Recipe({"learning_rate": 0.05}),
    "kd, rate 0.2": Recipe({"learning_rate": 0.2}),
    "kd, batches of 64": Recipe({"batch_size": 64}),
    "kd, batches of 64, rate 0.05": Recipe({"batch_size": 64, "learning_rate": 0.05}),
    "kd, decay 1e-4": Recipe({"weight_decay": 1e-4}),
    "kd, not augmented": Recipe(plain=True),
    "kd, not augmented, tau 2": Recipe({"temperature": 2.0}, plain=True),
    "kd, not augmented, batches of 64": Recipe({"batch_size": 64}, plain=True),
    "kd, not augmented, rate 0.05": Recipe({"learning_rate": 0.05}, plain=True),
    "kd, not augmented, rate 0.02": Recipe({"learning_rate": 0.02}, plain=True),
}


class Cut:
    """A teacher and the network that all recipes start from."""

    def __init__(self, model: str, weights: Path, share: float) -> None:
        self.splits: DataSplits = load(DATA)
        values = {"model": model, "data": DATA, "weights": str(weights), "speedup": 2}
        self.teacher = load_teacher(load_plan(None, values), self.splits).eval()
        self._source = PrunableModel.of(trace(self.teacher), self.splits.input_shape)
        scores = CRITERIA.get("l1").score(
            self._source.model,
            self._source.groups,
            Evidence([], 0, losses=CLASSIFICATION.sample_losses),
        )
        widths = {
            group.name: max(STEP, round(share * group.channels / STEP) * STEP)
            for group in self._source.groups
        }
        self._cut = lambda: cut_to(self._source, widths, scores, "nni").model

    def fresh(self, splits: DataSplits, seed: int) -> nn.Module:
        """The cut network before any training, its batch norm as on training samples."""
        model = self._cut()
        recalibrate_batchnorm(model, splits.train, batches=RECALIBRATION_BATCHES, seed=seed)
        return model


def distil(cut: Cut, recipe: Recipe, epochs: float, seed: int) -> nn.Module:
    """Train the cut network as `recipe` says."""
    splits = cut.splits.unaugmented() if recipe.plain else cut.splits
    model = cut.fresh(splits, seed)
    usual = TrainSettings.for_distillation(
        epochs=epochs, batch_size=128, learning_rate=None, temperature=4.0, alpha=0.9, seed=seed
    )
    settings = replace(usual, **recipe.settings)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
    hinted = distillation_losses.hints(model, cut.teacher) if recipe.hints else nullcontext()
    with hinted:
        train(
            model,
            splits,
            settings,
            Objective(CLASSIFICATION, teachers=[cut.teacher]),
            progress=(lambda _: average.update_parameters(model)) if recipe.averaged else None,
        )
    if not recipe.averaged:
        return model
    recalibrate_batchnorm(average.module, splits.train, batches=RECALIBRATION_BATCHES, seed=seed)
    return average.module


@torch.inference_mode()
def cross_entropy(model: nn.Module, splits: DataSplits) -> float:
    """Mean over the validation split."""
    losses = [
        F.cross_entropy(model(inputs), labels, reduction="sum")
        for inputs, labels in splits.validation.epoch(batch_size=250)
    ]
    return float(torch.stack(losses).sum()) / len(splits.validation)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, the most accurate first."""
    names = ("model", "share", "epochs", "recipe")
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault(tuple(row[name] for name in names), []).append(row)
    found = [
        {
            **dict(zip(names, key, strict=True)), "seeds": len(some),
            "mean_validation_percent": statistics.mean(r["validation_percent"] for r in some),
            "mean_validation_nats": statistics.mean(r["validation_nats"] for r in some),
            "mean_seconds": statistics.mean(r["seconds"] for r in some),
        }
        for key, some in lines.items()
    ]  # fmt: skip
    return sorted(found, key=lambda line: (line["epochs"], -line["mean_validation_percent"]))


def main() -> None:
    """Run what is missing, then print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--stop-after-s", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, default=Path("bench/results/distillation.json"))
    args, start = parser.parse_args(), time.perf_counter()
    rows = json.loads(args.json.read_text())["rows"] if args.json.exists() else []
    keys = ("model", "share", "epochs", "recipe", "seed")
    known = {tuple(row[key] for key in keys) for row in rows}
    cut = Cut(args.model, args.weights, args.share)
    for seed, name in itertools.product(args.seeds, args.recipes):
        job = (args.model, args.share, args.epochs, name, seed)
        if job in known or time.perf_counter() - start > args.stop_after_s:
            continue
        began = time.perf_counter()
        model = distil(cut, RECIPES[name], args.epochs, seed)
        found = {
            "seconds": time.perf_counter() - began,
            "validation_percent": score(model, cut.splits.validation, task=CLASSIFICATION),
            "validation_nats": cross_entropy(model, cut.splits),
        }
        rows.append(dict(zip(keys, job, strict=True)) | found)
        document = {"versions": versions(), "summary": summary(rows), "rows": rows}
        write_text(args.json, json.dumps(document, indent=1) + "\n")
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
