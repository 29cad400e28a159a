"""What a training run is asked for, and what it says while and after it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgespiral.core.errors import UsageError

Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["one-cycle", "cosine"]

DISTILLATION_RATE = 0.1
DISTILLATION_WARMUP = 0.1


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a training run's result depends on beside its model and data.

    Attributes:
        epochs: passes over the training split; may be fractional, counted in steps.
        batch_size: samples per step; the short last batch of a pass is dropped.
        learning_rate: the highest of the schedule.
        momentum: of SGD with Nesterov's correction.
        weight_decay: on weights only, not on batch norm and biases.
        schedule: after a linear warm-up, `one-cycle` falls linearly to 0, `cosine` along a cosine.
        warmup_fraction: the part of all steps that warms up, 0 to 1.
        temperature: of the distillation loss.
        alpha: weight of the distillation term; 1 - alpha that of the task's loss.
        loss: a name of `losses.names()`; matters only with a teacher.
        seed: of order, augmentation and dropout.
        precision: `auto` is bf16 where the device multiplies it natively, else fp32.
        label_smoothing: of the task's loss, where its targets are classes.
        scale_l1: weight of the L1 norm of all batch norms' scaling factors in the loss, 0 for none
            (Liu et al. 2017, "Network slimming", eq. 1).
    """

    epochs: float
    batch_size: int = 128
    learning_rate: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "one-cycle"
    warmup_fraction: float = 0.2
    temperature: float = 4.0
    alpha: float = 0.9
    loss: str = "kd"
    seed: int = 0
    precision: Precision = "auto"
    label_smoothing: float = 0.0
    scale_l1: float = 0.0

    def __post_init__(self) -> None:
        bounds = {
            "epochs": self.epochs > 0,
            "batch_size": self.batch_size > 1,
            "learning_rate": self.learning_rate > 0,
            "momentum": 0 < self.momentum < 1,
            "weight_decay": self.weight_decay >= 0,
            "warmup_fraction": 0 <= self.warmup_fraction < 1,
            "temperature": self.temperature > 0,
            "alpha": 0 <= self.alpha <= 1,
            "seed": self.seed >= 0,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "scale_l1": self.scale_l1 >= 0,
        }
        for name, within in bounds.items():
            if not within or not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name} cannot be {getattr(self, name)}", where="training")

    @classmethod
    def for_distillation(
        cls,
        *,
        epochs: float,
        batch_size: int,
        learning_rate: float | None,
        temperature: float,
        alpha: float,
        seed: int,
    ) -> TrainSettings:
        """Settings to recover a cut network, whose weights are warm; None takes the default rate.

        A high rate that falls to 0 matters more than any other choice (Wang et al. 2023,
        tables 4 to 6).
        """
        return cls(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=DISTILLATION_RATE if learning_rate is None else learning_rate,
            warmup_fraction=DISTILLATION_WARMUP,
            temperature=temperature,
            alpha=alpha,
            seed=seed,
        )

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of step `step` of `steps`, both counted from 0."""
        warmup = max(1, round(self.warmup_fraction * steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, steps - warmup)
        if self.schedule == "one-cycle":
            return self.learning_rate * (1 - done)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Progress:
    """How far a training run is; `loss` is a running mean."""

    step: int
    steps: int
    loss: float
    samples_per_s: float


@dataclass(frozen=True)
class TrainReport:
    """A finished training run. `seconds` counts every session of a resumed run."""

    steps: int
    seconds: float
    train_loss: float
    precision: Literal["fp32", "bf16"]
    resumed_at_step: int = 0
