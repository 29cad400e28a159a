"""What a training run is asked for, and what it says while and after it runs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Literal, TypedDict, get_args

from edgespiral.core.errors import DataError, UsageError, unknown_name
from edgespiral.core.factory import is_factory

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Resolved = Literal["fp32", "bf16", "fp16"]
Schedule = Literal["one-cycle", "cosine", "constant"]
Amp = Literal["auto", "off", "bf16", "fp16"]

AUTO = "auto"
DISTILLATION_WARMUP = 0.1
# Batches that an epoch has at least, where nothing else is asked for, and samples of the least one.
LEAST_BATCHES, LEAST_BATCH = 4, 2
BATCH, BATCH_OF_SMALL_SETS, SMALL_SET = 128, 32, 10_000
# Of usual batches: in so few AdamW gains by smaller ones, and SGD loses (docs/training.md).
FEW_STEPS = 1000
# How a training is computed, of which no checkpoint is.
MEANS = frozenset({"compiles", "shards_teachers"})
# Fields that came later: checkpoints of before, which lack them, go on where they are not set.
LATER = ("optimizer", "clip_norm", "ema_decay", "accumulate", "freeze")


class TrainingOptions(TypedDict, total=False):
    """What may be asked of a training beside its length, its batches and its rate.

    As in `TrainSettings`; `amp` is its precision, and `device` where it runs.
    """

    optimizer: str
    schedule: Schedule
    weight_decay: float
    clip_norm: float
    ema_decay: float
    amp: Amp
    device: str
    accumulate: int


@dataclass(frozen=True)
class Defaults:
    """What an optimizer is used with where nothing else is asked (docs/training.md).

    Attributes:
        teacher_rate: the highest rate of a training from random weights.
        student_rate: of a cut network's distillation.
        weight_decay: on weights only.
    """

    teacher_rate: float
    student_rate: float
    weight_decay: float


DEFAULTS = {"sgd": Defaults(0.2, 0.1, 5e-4), "adamw": Defaults(2e-3, 1e-3, 0.05)}


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a training run's result depends on beside its model and data.

    Attributes:
        epochs: passes over the training split; may be fractional, counted in steps.
        batch_size: samples per step; the short last batch of a pass is dropped.
        learning_rate: the highest of the schedule.
        optimizer: a name of `DEFAULTS`, or `path/to/file.py:make` (docs/training.md).
        momentum: of SGD with Nesterov's correction.
        weight_decay: on weights only, not on norms and biases.
        schedule: after a linear warm-up, `one-cycle` falls linearly to 0, `cosine` along a cosine,
            and `constant` stays.
        warmup_fraction: the part of all steps that warms up, 0 to 1.
        temperature: of the distillation loss.
        alpha: weight of the distillation term; 1 - alpha that of the task's loss.
        loss: a name of `losses.names()`; matters only with a teacher.
        seed: of order, augmentation and dropout.
        precision: `auto` is bf16 where the device multiplies it natively, else fp16 on CUDA, else
            fp32; fp16's loss is scaled.
        label_smoothing: of the task's loss, where its targets are classes.
        scale_l1: weight of the L1 norm of all batch norms' scaling factors in the loss, 0 for none
            (Liu et al. 2017, "Network slimming", eq. 1).
        clip_norm: what the L2 norm of all gradients is scaled down to where it is above; None: no
            limit.
        ema_decay: the weights that come out are a running mean, which keeps this share of itself at
            each step; 0: the weights of the last step.
        accumulate: in how many parts a batch goes through the model, to take less memory.
        freeze: patterns of parameter names, such as `layer1.*`, that stay as they are.
        compiles: whether PyTorch compiles the student; no checkpoint is of it.
        shards_teachers: whether each process holds a share of the teachers' weights; nor of this.
    """

    epochs: float
    batch_size: int = BATCH
    learning_rate: float = DEFAULTS["sgd"].teacher_rate
    optimizer: str = "sgd"
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
    clip_norm: float | None = None
    ema_decay: float = 0.0
    accumulate: int = 1
    freeze: tuple[str, ...] = ()
    compiles: bool = False
    shards_teachers: bool = False

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
            "clip_norm": self.clip_norm is None or self.clip_norm > 0,
            "ema_decay": 0 <= self.ema_decay < 1,
            "accumulate": 1 <= self.accumulate <= self.batch_size,
        }
        for name, within in bounds.items():
            value = getattr(self, name)
            if not within or (value is not None and not math.isfinite(value)):
                raise UsageError(f"{name} cannot be {value}", where="training")
        for name, choices in (("schedule", Schedule), ("precision", Precision)):
            if getattr(self, name) not in get_args(choices):
                raise unknown_name(name, getattr(self, name), get_args(choices))
        check_optimizer(self.optimizer)

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
        optimizer: str = "sgd",
        weight_decay: float | None = None,
    ) -> TrainSettings:
        """Settings to recover a cut network, whose weights are warm; None takes the default.

        A high rate that falls to 0 matters more than any other choice (Wang et al. 2023,
        tables 4 to 6).
        """
        usual = defaults_of(optimizer)
        return cls(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=usual.student_rate if learning_rate is None else learning_rate,
            optimizer=optimizer,
            weight_decay=usual.weight_decay if weight_decay is None else weight_decay,
            warmup_fraction=DISTILLATION_WARMUP,
            temperature=temperature,
            alpha=alpha,
            seed=seed,
        )

    @property
    def identity(self) -> dict[str, object]:
        """What a checkpoint is of, as JSON has it."""
        unset = {field.name: field.default for field in fields(self) if field.name in LATER}
        stated = {k: v for k, v in asdict(self).items() if k not in MEANS}
        return {k: v for k, v in stated.items() if k not in unset or v != unset[k]}

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of step `step` of `steps`, both counted from 0."""
        warmup = max(1, round(self.warmup_fraction * steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - warmup) / max(1, steps - warmup)
        if self.schedule == "one-cycle":
            return self.learning_rate * (1 - done)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Progress:
    """How far a training run is; `loss` is a running mean.

    `learning_rate` is that of the last step; None where a loop of the user's has its own.
    """

    step: int
    steps: int
    loss: float
    samples_per_s: float
    learning_rate: float | None = None


@dataclass(frozen=True)
class TrainReport:
    """A finished training run. `seconds` counts every session of a resumed run."""

    steps: int
    seconds: float
    train_loss: float
    precision: Resolved
    resumed_at_step: int = 0


def defaults_of(optimizer: str) -> Defaults:
    """What `optimizer` is used with; one of the user's own is taken for an SGD."""
    return DEFAULTS.get(optimizer, DEFAULTS["sgd"])


def precision_of(amp: Amp) -> Precision:
    """The precision that `--amp` asks for.

    Raises:
        UsageError: it is none of them.
    """
    if amp not in get_args(Amp):
        raise unknown_name("--amp", amp, get_args(Amp))
    return "fp32" if amp == "off" else amp


def rate_of(value: object) -> float:
    """`value` as a learning rate.

    Raises:
        TypeError, ValueError: it is none.

    Example:
        >>> rate_of(1)
        1.0
    """
    rate = float(value)  # type: ignore[arg-type]
    if not 0 <= rate < math.inf:
        raise ValueError(f"it returns {rate}, which is no learning rate")
    return rate


def steps_of(settings: TrainSettings, samples: int) -> int:
    """How many batches the epochs of `settings` are, on so many training samples.

    Raises:
        DataError: the samples do not fill a batch.
    """
    per_epoch = samples // settings.batch_size
    if per_epoch == 0:
        raise DataError(
            f"{samples} training samples do not fill a batch of {settings.batch_size}",
            hint="choose a smaller --batch-size",
        )
    return max(1, round(settings.epochs * per_epoch))


def is_short(samples: int, epochs: float, optimizer: str) -> bool:
    """Whether a training is better made of smaller batches: of few steps by AdamW, it is.

    Args:
        samples: how many there are to train on.
        epochs: how often.
        optimizer: by name.

    Example:
        >>> is_short(15_000, 4, "adamw"), is_short(15_000, 10, "adamw"), is_short(15_000, 4, "sgd")
        (True, False, False)
    """
    return optimizer == "adamw" and samples * epochs < FEW_STEPS * BATCH


def usual_batch(samples: int, *, accumulate: int = 1, short: bool = False) -> int:
    """How many samples are a batch where nobody says and there are enough to fill some.

    Args:
        samples: how many there are to train on.
        accumulate: in how many parts a batch goes through the model.
        short: as `is_short` says.

    Example:
        >>> usual_batch(60_000), usual_batch(1500), usual_batch(1500, accumulate=32)
        (128, 32, 128)
    """
    fills_parts = LEAST_BATCH * accumulate <= BATCH_OF_SMALL_SETS
    return BATCH_OF_SMALL_SETS if (samples < SMALL_SET or short) and fills_parts else BATCH


def fitting_batch(samples: int, *, accumulate: int = 1, short: bool = False) -> int:
    """How many of `samples` are a batch where nobody says: the usual one, or less of very few.

    It is halved until they fill some batches, so that an epoch is more than a step.

    Args:
        samples: how many there are to train on.
        accumulate: in how many parts a batch goes through the model.
        short: as `is_short` says.

    Example:
        >>> fitting_batch(60_000), fitting_batch(1500), fitting_batch(46)
        (128, 32, 8)
    """
    size = usual_batch(samples, accumulate=accumulate, short=short)
    while samples < LEAST_BATCHES * size and size % (2 * LEAST_BATCH * accumulate) == 0:
        size //= 2
    return size


def few_samples(samples: int, batch_size: int, *, accumulate: int = 1) -> str | None:
    """That the batch is small because the samples are few; None where it is the usual one.

    Args:
        samples: how many there are to train on.
        batch_size: as `fitting_batch` has it.
        accumulate: in how many parts a batch goes through the model.

    Example:
        >>> few_samples(46, 8), few_samples(1500, 32)
        ('46 training samples are few: 8 a step, where nothing else is asked', None)
    """
    if samples >= SMALL_SET or batch_size >= usual_batch(samples, accumulate=accumulate):
        return None
    return f"{samples} training samples are few: {batch_size} a step, where nothing else is asked"


def check_optimizer(name: str) -> str:
    """`name`, if it is `auto`, an optimizer's or a place in the user's file.

    Raises:
        UsageError: it is not; the nearest names are given.
    """
    if name in (AUTO, *DEFAULTS) or is_factory(name):
        return name
    raise unknown_name("optimizer", name, (AUTO, *DEFAULTS))
