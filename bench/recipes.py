"""What a recipe is worth to a cut network over a whole training, beside the default's, as JSON.

Every recipe trains the same cut network for the same number of passes at the rate that the rule has
for so many steps, and is scored on the validation split, by accuracy and by cross-entropy, which
tells smaller differences apart. The test split is never looked at. Rows that are there are not run
again, and a training that was stopped goes on from what lies in `--work`.

    python bench/recipes.py resnet.py:resnet20 WEIGHTS --data cifar.py:views --epochs 2 --work W
    python bench/recipes.py resnet20 WEIGHTS --data digits --epochs 6 20 --work W2
    python bench/recipes.py resnet.py:resnet20 WEIGHTS --data cifar.py:views --epochs 2 \
        --recipes default "larger teacher" --larger resnet.py:resnet56=resnet56.safetensors --work W

`--larger` is a trained network of the same outputs, for the recipes that it teaches in.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distillation_losses  # noqa: F401 (names its losses to the package)
import torch
from distillation import cross_entropy
from parallel_branches import with_branches, without_branches

import edgespiral
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.distill.batchnorm import recalibrate_batchnorm
from edgespiral.distill.evaluate import score
from edgespiral.distill.optimizers import default_optimizer, width_of
from edgespiral.distill.own_training import USUAL, TrainingStep
from edgespiral.distill.settings import TrainSettings, steps_of
from edgespiral.distill.teacher_cache import kept_outputs
from edgespiral.distill.trainer import Objective, train
from edgespiral.models import load_model_for
from edgespiral.models.saved import load_model, save_model
from edgespiral.spiral.student.learning_rate import expected_rate
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgespiral.core.batches import DataSplits

RECALIBRATION_BATCHES = 30
KEYS = ("pair", "fraction", "samples", "epochs", "recipe", "seed")


class Mixed(TrainingStep):
    """Two samples in one, whose teacher sees the mixture (Zhang et al. 2018, "mixup", eq. 1)."""

    def view(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A share of each sample and the rest of another; its label is that of the larger one."""
        drawn = torch.distributions.Beta(0.4, 0.4).sample().to(inputs)
        share = torch.maximum(drawn, 1 - drawn)
        return share * inputs + (1 - share) * inputs.flip(0), targets


@dataclass(frozen=True)
class Recipe:
    """What is other than by default.

    Attributes:
        settings: fields of `TrainSettings`.
        rate_share: of the rule's rate for batches of 128.
        views: whether random views are shown.
        step: what each step does.
        teachers: who teaches: `own` is what was cut, `larger` what `--larger` names.
        branches: whether each 3x3 convolution has a 1x1 beside it until training has ended.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    rate_share: float = 1.0
    views: bool = False
    step: TrainingStep = USUAL
    teachers: tuple[str, ...] = ("own",)
    branches: bool = False


RECIPES = {
    "default": Recipe(),
    "augmented": Recipe(views=True),
    "larger teacher": Recipe(teachers=("larger",)),
    "larger teacher beside its own": Recipe(teachers=("own", "larger")),
    "no labels": Recipe({"alpha": 1.0}),
    "temperature 2": Recipe({"temperature": 2.0}),
    "temperature 8": Recipe({"temperature": 8.0}),
    "DIST": Recipe({"loss": "dist"}),
    "averaged weights, 0.99": Recipe({"ema_decay": 0.99}),
    "constant rate, averaged weights, 0.995": Recipe({"schedule": "constant", "ema_decay": 0.995}),
    "batches of 64": Recipe({"batch_size": 64}),
    "batches of 32": Recipe({"batch_size": 32}),
    "batches of 32, half the rate": Recipe({"batch_size": 32}, rate_share=1 / 2),
    "batches of 32, a quarter of the rate": Recipe({"batch_size": 32}, rate_share=1 / 4),
    "weight decay 5e-3": Recipe({"weight_decay": 5e-3}),
    "weight decay 0": Recipe({"weight_decay": 0.0}),
    "mixup": Recipe(step=Mixed()),
    "three times the rate": Recipe(rate_share=3.0),
    "a third of the rate": Recipe(rate_share=1 / 3),
    "branches in training": Recipe(branches=True),
    "branches in training, augmented": Recipe(branches=True, views=True),
    "three times the rate, augmented": Recipe(rate_share=3.0, views=True),
    "a third of the rate, augmented": Recipe(rate_share=1 / 3, views=True),
    "mixup, augmented": Recipe(step=Mixed(), views=True),
    "no labels, augmented": Recipe({"alpha": 1.0}, views=True),
    "cosine, augmented": Recipe({"schedule": "cosine"}, views=True),
    "batches of 64, augmented": Recipe({"batch_size": 64}, views=True),
}


class Beginning:
    """A cut network, its teachers, and what they say of the training samples as stored."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.shown: DataSplits = load(options.data)
        self.stored = self.shown.unaugmented()
        self._larger, self.folder = options.larger, make_folder(options.work)
        self._own = load_model_for(self.stored, options.model, weights=options.weights).eval()
        place = self.folder / "student"
        if not (place / "model.py").exists():
            cut = edgespiral.cut(self._own, data=self.stored, fraction=options.fraction)
            recalibrate_batchnorm(cut, self.stored.train, batches=RECALIBRATION_BATCHES)
            save_model(cut, make_folder(place))
        self.student = load_model(place)

    def teacher(self, name: str) -> nn.Module:
        """`own` or `larger`."""
        if name == "own":
            return self._own
        if self._larger is None:
            raise SystemExit("name the larger teacher with --larger MODEL=WEIGHTS")
        spec, _, weights = self._larger.partition("=")
        return load_model_for(self.stored, spec, weights=Path(weights)).eval()

    def outputs(self, name: str) -> Tensor:
        """Of one teacher for all training samples."""
        path = self.folder / f"{name}.safetensors"
        return kept_outputs(path, self.teacher(name), self.stored.train)


def settings_of(recipe: Recipe, epochs: float, seed: int, start: Beginning) -> TrainSettings:
    """Of a whole training by `recipe`."""
    usual = TrainSettings.for_distillation(
        epochs=epochs,
        batch_size=128,
        learning_rate=None,
        temperature=4.0,
        alpha=0.9,
        seed=seed,
        optimizer=default_optimizer(start.student).name,
    )
    settings = replace(usual, **recipe.settings)
    steps = steps_of(settings, len(start.stored.train))
    rate = expected_rate(settings.optimizer, steps, width_of(start.student))
    return replace(settings, learning_rate=recipe.rate_share * rate)


def trained(
    start: Beginning, recipe: Recipe, settings: TrainSettings, checkpoint: Path
) -> nn.Module:
    """The cut network after it was trained by `recipe`, going on from `checkpoint`."""
    student, names = copy.deepcopy(start.student), recipe.teachers
    if recipe.branches:
        student = with_branches(student)
    is_stored = not (recipe.views or recipe.step.alters_views)
    train(
        student,
        start.shown if recipe.views else start.stored,
        settings,
        Objective(
            CLASSIFICATION,
            teachers=[start.teacher(name) for name in names],
            outputs=torch.stack([start.outputs(name) for name in names]) if is_stored else None,
            own=recipe.step,
        ),
        checkpoint=checkpoint,
    )
    return without_branches(student)


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", help="what rows call the pair; MODEL on DATA if not given")
    parser.add_argument("--larger", metavar="MODEL=WEIGHTS")
    parser.add_argument("--fraction", type=float, default=0.4)
    parser.add_argument("--epochs", type=float, nargs="+", default=[2.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--json", type=Path, default=Path("bench/results/recipes.json"))
    parser.add_argument("--work", type=Path, required=True, help="folder, one for each pair")
    options = parser.parse_args()
    rows = json.loads(options.json.read_text())["rows"] if options.json.exists() else []
    start = Beginning(options)
    facts = {"pair": options.name or f"{options.model} on {options.data}"}
    facts |= {"fraction": options.fraction, "samples": len(start.stored.train)}
    for seed, epochs, name in itertools.product(options.seeds, options.epochs, options.recipes):
        job = {**facts, "epochs": epochs, "recipe": name, "seed": seed}
        if any(all(row[key] == job[key] for key in KEYS) for row in rows):
            continue
        checkpoint = start.folder / f"{name} {epochs:g} {seed}.pt"
        settings = settings_of(RECIPES[name], epochs, seed, start)
        student = trained(start, RECIPES[name], settings, checkpoint)
        job["rate"] = settings.learning_rate
        job["validation_percent"] = score(student, start.stored.validation, task=CLASSIFICATION)
        job["validation_nats"] = cross_entropy(student, start.stored)
        rows.append(job)
        write_text(
            options.json, json.dumps({"versions": versions(), "rows": rows}, indent=1) + "\n"
        )
        checkpoint.unlink()
        print(json.dumps(job), flush=True)


if __name__ == "__main__":
    main()
