"""The learning rate of a student's training, where the plan leaves it open.

A cut network is warm: a high rate undoes what it knows, and few steps cannot bring that back. So
what suits it grows with the number of steps, and differs from network to network. The first is a
rule, the second is tried: a few rates side by side, on batches that are the same for all, judged on
training samples that none of them saw, the better ones for longer (successive halving; Jamieson and
Talwalkar 2016). A trial is far shorter than the training, so what it settles is how many times the
rule's rate suits this student, and the rule says what that is over the whole training
(docs/training.md).
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import torch
from pydantic import FiniteFloat, TypeAdapter
from torch import nn

from edgespiral.core.errors import TrainingError
from edgespiral.core.nested import Tensors, as_float, joined, mapped, rows
from edgespiral.core.records.events import TriedRate
from edgespiral.core.seeds import derived_seed
from edgespiral.core.system.files import read_text, write_text
from edgespiral.distill.evaluate import predicting
from edgespiral.distill.losses import Batch, usual_loss
from edgespiral.distill.optimizers import WIDTH, width_of
from edgespiral.distill.own_training import is_usual
from edgespiral.distill.settings import BATCH, steps_of
from edgespiral.distill.trainer import Objective, train

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from edgespiral.core.batches import BatchSource
    from edgespiral.distill.settings import TrainSettings
    from edgespiral.spiral.student.distillation import Distiller, Teaching

STEPS = 700
FACTORS = (1 / 3, 1.0, 3.0)
# Over a whole training by AdamW, higher rates undo what they gain in a short one, so that they are
# not as high, and are to be clearly better there (docs/training.md).
FACTORS_OF = {"adamw": (1 / 3, 1.0, 2.0)}
CLEAR_MARGIN_OF = {"adamw": 0.12}
FINALISTS = 2
# What all trials together may cost of the training's steps: three of a length, two of twice that.
TRIAL_SHARE = 0.07
TRIAL_UNITS = len(FACTORS) + 2 * FINALISTS
LEAST_STEPS, MOST_STEPS = 8, 64
HELD_OUT = 512
# By how much less the loss of another rate must be.
MARGIN = 0.02
# Losses by rate and steps; None where the training diverged.
TRIED: TypeAdapter[dict[str, FiniteFloat | None]] = TypeAdapter(dict[str, FiniteFloat | None])


@dataclass(frozen=True)
class Rule:
    """What the highest rate of a schedule follows from; it goes with the cube root of the steps.

    Attributes:
        rate: over `STEPS` steps.
        most: over any number of them.
        most_in_small: the same in batches of less than `BATCH`, whose gradients are noisier.
        width: of the networks that it was measured on, where wider ones want less in proportion.
    """

    rate: float
    most: float
    most_in_small: float
    width: int | None = None


# Adam's steps have the size of the rate whatever the gradient is, so what they change of a sum
# grows with its terms (Yang et al. 2022, "Tensor Programs V", table 3).
RULES = {"sgd": Rule(0.02, 0.1, 0.006), "adamw": Rule(0.006, 0.01, 0.01, WIDTH)}


def expected_rate(
    optimizer: str, steps: int, width: int | None = None, batch_size: int = BATCH
) -> float:
    """The highest rate of a schedule that suits a cut network for so many steps, by rule.

    Args:
        optimizer: by name; one of the user's own is taken for SGD.
        steps: of the training.
        width: of the network, as `width_of` has it; that of the rule's networks if None.
        batch_size: samples a step.

    Example:
        >>> round(expected_rate("sgd", 700), 3), round(expected_rate("sgd", 10**6), 3)
        (0.02, 0.1)
        >>> round(expected_rate("adamw", 700), 4), round(expected_rate("adamw", 700, 768), 5)
        (0.006, 0.00075)
        >>> expected_rate("sgd", 700, batch_size=32)
        0.006
    """
    rule = RULES.get(optimizer, RULES["sgd"])
    most = rule.most if batch_size >= BATCH else rule.most_in_small
    rate = min(most, rule.rate * math.cbrt(steps / STEPS))
    return rate if rule.width is None or width is None else rate * min(1.0, rule.width / width)


@dataclass(frozen=True)
class Found:
    """A rate, why it is taken, and what was tried."""

    rate: float
    reason: str
    tried: tuple[TriedRate, ...] = ()


@dataclass(frozen=True)
class RateSearch:
    """A trial of rates for one student.

    Attributes:
        distiller: of the run.
        student: the cut network, which stays as it is.
        settings: of its training; their rate is not read.
        teaching: of its training.
        masks: by parameter name, of weights that stay zero.
        path: what was tried so far, so that an interrupted trial goes on.
    """

    distiller: Distiller
    student: nn.Module
    settings: TrainSettings
    teaching: Teaching
    masks: Mapping[str, Tensor]
    path: Path

    def run(self) -> Found:
        """The rate, by a trial where the training is long enough for one.

        Raises:
            ModelError: the student or its teacher fails on a batch.
        """
        steps = steps_of(self.settings, len(self.distiller.splits.train))
        usual = self._expected(steps)
        length = min(MOST_STEPS, int(TRIAL_SHARE * steps / TRIAL_UNITS))
        problem = self._problem(steps, length)
        if problem:
            return Found(usual, f"{problem}; what suits so many steps by rule")
        tried = self._tried(length)
        clear = CLEAR_MARGIN_OF.get(self.settings.optimizer, MARGIN)
        factor, reason = _best(tried, length, clear)
        return Found(factor * usual, reason, tuple(tried.values()))

    def _expected(self, steps: int) -> float:
        settings = self.settings
        return expected_rate(settings.optimizer, steps, width_of(self.student), settings.batch_size)

    def _problem(self, steps: int, length: int) -> str | None:
        """Why there can be no trial."""
        if not is_usual(self.distiller.own):
            return "the training is one's own"
        if length < LEAST_STEPS:
            return f"{steps} steps are too few to try rates in {TRIAL_SHARE:.0%} of them"
        samples, size = len(self.distiller.splits.train), self.settings.batch_size
        if samples // size < 2 * length + self.held_batches:
            return f"{samples} training samples are too few to hold some of them out of a trial"
        return None

    @property
    def factors(self) -> tuple[float, ...]:
        """How many times the rule's rate is tried."""
        return FACTORS_OF.get(self.settings.optimizer, FACTORS)

    @property
    def held_batches(self) -> int:
        """How many batches rates are judged by."""
        return -(-HELD_OUT // self.settings.batch_size)

    def _tried(self, length: int) -> dict[tuple[float, int], TriedRate]:
        """Each factor over `length` steps, and the best of them over twice as many."""
        bench = _Bench.of(self, 2 * length)
        tried: dict[tuple[float, int], TriedRate] = {}
        with self.distiller.listener.steps("trying learning rates") as advance:
            for factor in self.factors:
                tried[factor, length] = self._try(bench, factor, length)
                advance(len(tried), len(self.factors) + FINALISTS, "")
            finalists = sorted(self.factors, key=lambda factor: _loss(tried[factor, length]))
            for factor in finalists[:FINALISTS]:
                tried[factor, 2 * length] = self._try(bench, factor, 2 * length)
                advance(len(tried), len(self.factors) + FINALISTS, "")
        return tried

    def _try(self, bench: _Bench, factor: float, steps: int) -> TriedRate:
        rate = factor * self._expected(steps)
        trials = _read(self.path)
        key = f"{rate:.6g} {steps}"
        if key not in trials:
            trials[key] = bench.loss(rate, steps)
            write_text(self.path, json.dumps(trials))
        return TriedRate(learning_rate=rate, factor=factor, steps=steps, loss=trials[key])


@dataclass(frozen=True)
class _Bench:
    """Where rates are compared: batches to train on and others to judge by, with outputs taught."""

    search: RateSearch
    shown: _Shown
    shown_outputs: Tensors
    held: _Shown
    held_outputs: Tensors

    @classmethod
    def of(cls, search: RateSearch, steps: int) -> _Bench:
        """With so many batches to train on at most."""
        size, held_batches = search.settings.batch_size, search.held_batches
        source, seed = search.distiller.splits.train, derived_seed(search.settings.seed, 5)
        held = _Shown(source, seed, size, 0, held_batches)
        shown = _Shown(source, seed, size, held_batches, steps)
        teachers = search.teaching.teachers
        return cls(search, shown, _answers(teachers, shown), held, _answers(teachers, held))

    def loss(self, rate: float, steps: int) -> float | None:
        """What the student's loss is after `steps` at up to `rate`; None where it diverged."""
        search, shown = self.search, replace(self.shown, steps=steps)
        student = copy.deepcopy(search.student)
        try:
            train(
                student,
                replace(search.distiller.splits, train=shown),
                replace(search.settings, epochs=1.0, learning_rate=rate, ema_decay=0.0),
                Objective(
                    search.distiller.task,
                    teachers=search.teaching.teachers,
                    outputs=rows(self.shown_outputs, (slice(None), slice(0, len(shown)))),
                ),
                masks=search.masks,
            )
        except TrainingError:
            return None
        loss = self._held_loss(student)
        return loss if math.isfinite(loss) else None

    def _held_loss(self, student: nn.Module) -> float:
        usual = usual_loss(self.search.settings, self.search.distiller.task)
        size, total = self.held.batch_size, 0.0
        with predicting(student) as predict:
            for number, (inputs, targets) in enumerate(self.held.batches()):
                some = slice(number * size, (number + 1) * size)
                taught = rows(self.held_outputs, (slice(None), some))
                outputs = mapped(torch.Tensor.cpu, as_float(predict(inputs)))
                total += float(usual(outputs, Batch(inputs, targets, taught, 0, 1)))
        return total / self.held.steps


@dataclass(frozen=True)
class _Shown:
    """A shuffled pass's batches from one on, as a supply that always shows them in that order."""

    source: BatchSource
    seed: int
    batch_size: int
    skipped: int
    steps: int

    def __len__(self) -> int:
        return self.steps * self.batch_size

    def order(self, seed: int) -> Tensor:
        """See `core.batches.StoredSource`."""
        del seed
        return torch.arange(len(self))

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensors, Tensors]]:
        """See `core.batches.BatchSource`; the order and the size are those of the pass."""
        del batch_size, seed
        return self.batches(first_batch)

    def batches(self, first: int = 0) -> Iterator[tuple[Tensors, Tensors]]:
        """The batches from `first` on."""
        at = self.skipped + first
        shown = self.source.epoch(batch_size=self.batch_size, seed=self.seed, first_batch=at)
        return islice(shown, self.steps - first)


def _answers(teachers: Sequence[nn.Module], shown: _Shown) -> Tensors:
    """The teachers' outputs (T, N, ...) for all that is shown."""
    by_teacher = []
    for teacher in teachers:
        with predicting(teacher) as predict:
            outputs = [
                mapped(torch.Tensor.cpu, as_float(predict(inputs))) for inputs, _ in shown.batches()
            ]
        by_teacher.append(joined(outputs))
    return mapped(lambda *leaf: torch.stack(leaf), *by_teacher)


def _best(
    tried: Mapping[tuple[float, int], TriedRate], length: int, clear_margin: float
) -> tuple[float, str]:
    """The factor that suits the student, and why.

    Args:
        tried: trials by factor and steps.
        length: steps of the short ones.
        clear_margin: by how much less the loss of a higher rate than the rule's must be.
    """
    rated = {factor: trial for (factor, steps), trial in tried.items() if steps == 2 * length}
    best = min(rated, key=lambda factor: _loss(rated[factor]))
    losses = {factor: _loss(trial) for factor, trial in rated.items()}
    if not math.isfinite(losses[best]):
        return min(FACTORS), "every rate that was tried diverged; the lowest of them"
    evidence = ", ".join(
        f"{trial.learning_rate:.2g}: {'diverged' if trial.loss is None else f'{trial.loss:.3f}'}"
        for trial in rated.values()
    )
    evidence = f"loss on samples held out after {2 * length} steps at {evidence}"
    usual = losses.get(1.0, math.inf)
    margin = clear_margin if best > 1.0 else MARGIN
    if best != 1.0 and losses[best] > (1 - margin) * usual:
        return 1.0, f"{evidence}, too close to tell; what suits so many steps by rule"
    return best, f"{evidence}; {best:.2g} times what suits so many steps by rule"


def _loss(trial: TriedRate) -> float:
    return math.inf if trial.loss is None else trial.loss


def _read(path: Path) -> dict[str, float | None]:
    """What was tried before an interruption; what cannot be read is tried again."""
    try:
        trials = TRIED.validate_json(read_text(path))
    except (OSError, ValueError):
        return {}
    return dict(trials)
