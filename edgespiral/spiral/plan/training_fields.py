"""What a plan says of how students are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgespiral.core.records.schema import Record
from edgespiral.distill.settings import Amp, Schedule
from edgespiral.prune.engines import AUTO
from edgespiral.spiral.plan.field import DISTILLATION, plan_field
from edgespiral.spiral.plan.values import Devices, Name, NotNegative, OptimizerName, Positive, Texts

# Passes from which random views of the samples are worth more than the samples (docs/training.md).
VIEWS_FROM_EPOCHS = 20.0


class TrainingFields(Record):
    """How, on what, and for how long each student learns from its teachers."""

    teacher: Literal["previous", "original", "both"] = plan_field(
        "original",
        "Who teaches: `original`, `previous` (the last turn's student) or `both`.",
        pages="[allocation.md](allocation.md#turns-and-teachers)",
        group=DISTILLATION,
    )
    teacher_model: Name | None = plan_field(
        None,
        "Another trained model, such as a larger one, that teaches in the original's place: "
        "`NAME=WEIGHTS`, or `path/to/file.py:factory`.",
        pages="[training.md](training.md#another-teacher)",
        shown="the original",
        metavar="MODEL",
        group=DISTILLATION,
    )
    temperature: Positive = plan_field(
        4.0,
        "Softens the outputs of both nets in the distillation loss.",
        shown="4.0, 1.0 for speech recognition and translation",
        group=DISTILLATION,
    )
    alpha: Annotated[float, Field(ge=0, le=1)] = plan_field(
        0.9, "Weight of the teacher against the labels, from 0 to 1.", group=DISTILLATION
    )
    batch_size: Annotated[int, Field(ge=2)] = plan_field(
        128,
        "Samples a step.",
        pages="[training.md](training.md#few-samples)",
        shown="128, 32 below 10,000 training samples, fewer where these are very few",
        group=DISTILLATION,
    )
    learning_rate: Positive | None = plan_field(
        None,
        "Highest rate of the schedule. If not given it follows from the number of steps and a "
        "short trial.",
        pages="[training.md](training.md#the-rate-finds-itself)",
        shown="found for each student",
        group=DISTILLATION,
    )
    optimizer: OptimizerName = plan_field(
        AUTO,
        "What changes the weights: `sgd`, `adamw`, `path/to/file.py:make`, or `auto` (`adamw` for "
        "networks with embeddings, recurrence, attention or layer norms, `sgd` for all others).",
        pages="[training.md](training.md#optimizer)",
        group=DISTILLATION,
    )
    schedule: Schedule = plan_field(
        "one-cycle",
        "Where the rate goes after it rose: to 0 in a line (`one-cycle`) or a `cosine`, or nowhere "
        "(`constant`).",
        pages="[training.md](training.md#optimizer)",
        group=DISTILLATION,
    )
    weight_decay: NotNegative | None = plan_field(
        None,
        "Of weights, not of norms and biases.",
        pages="[training.md](training.md#optimizer)",
        shown="0.0005 with sgd, 0.05 with adamw",
        group=DISTILLATION,
    )
    clip_norm: Positive | None = plan_field(
        None,
        "Scale gradients down to this L2 norm where theirs is above.",
        pages="[training.md](training.md#optimizer)",
        shown="no limit",
        group=DISTILLATION,
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = plan_field(
        0.0,
        "Ship a running mean of the weights, which keeps this share of itself at each step, such "
        "as 0.99; 0: the weights of the last step.",
        pages="[training.md](training.md#optimizer)",
        group=DISTILLATION,
    )
    amp: Amp = plan_field(
        AUTO,
        "Precision of training: `off` (fp32), `bf16`, `fp16` (its loss is scaled), or `auto` (what "
        "the device multiplies natively).",
        pages="[training.md](training.md#precision-and-device)",
        group=DISTILLATION,
    )
    device: Name = plan_field(
        AUTO,
        "Where students are trained and scored: `cpu`, `cuda:1`, `mps`, or `auto` (CUDA or CPU).",
        pages="[training.md](training.md#precision-and-device)",
        group=DISTILLATION,
        counts=False,
    )
    devices: Devices | None = plan_field(
        None,
        "Train in so many processes here, each on a GPU of its own: a number, or `all` GPUs.",
        pages="[guides/several-gpus.md](guides/several-gpus.md)",
        shown="one process",
        group=DISTILLATION,
        counts=False,
    )
    compile: bool = plan_field(
        False,
        "Train students compiled by `torch.compile`: a minute or more before the first step, then "
        "faster ones on a GPU.",
        pages="[training.md](training.md#precision-and-device)",
        group=DISTILLATION,
        counts=False,
    )
    shard_teacher: bool = plan_field(
        False,
        "While students train, have each process hold a share of the teacher's weights, which are "
        "gathered layer by layer: for teachers that no GPU can hold.",
        pages="[guides/several-gpus.md](guides/several-gpus.md#a-teacher-that-no-gpu-can-hold)",
        group=DISTILLATION,
        counts=False,
    )
    accumulate: Annotated[int, Field(ge=1)] = plan_field(
        1,
        "In how many parts a batch goes through the student, to take less memory.",
        pages="[training.md](training.md#optimizer)",
        group=DISTILLATION,
    )
    freeze: Texts = plan_field(
        (),
        "Parameters that stay as the cut leaves them, such as `stem.*`: a list of patterns, or the "
        "flag once for each.",
        pages="[training.md](training.md#optimizer)",
        shown="none",
        group=DISTILLATION,
    )
    train: Name | None = plan_field(
        None,
        "One's own way to train: `path/to/file.py:name` of a `TrainingStep` or of a function.",
        pages="[training.md](training.md#a-training-of-ones-own)",
        shown="EdgeSpiral's",
        group=DISTILLATION,
    )
    augment: bool | None = plan_field(
        None,
        "Show students random views of the training samples, as their teacher had, or the samples "
        "as they are stored.",
        pages="[training.md](training.md#samples-as-they-are-stored)",
        shown=f"views from {VIEWS_FROM_EPOCHS:g} epochs on",
        group=DISTILLATION,
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = plan_field(
        0, "Of everything random.", group=DISTILLATION
    )
