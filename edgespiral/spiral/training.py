"""How a run's students are trained, as its plan says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError
from edgespiral.core.option import flag
from edgespiral.distill.optimizers import check_freezing, named_optimizer
from edgespiral.distill.own_training import TrainingStep
from edgespiral.distill.parallel.world import present
from edgespiral.distill.settings import TrainSettings, fitting_batch, is_short, precision_of
from edgespiral.prune.scoring.criteria import CRITERIA

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.distill.own_training import Training
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task


def batch_of(plan: Plan, samples: int, model: nn.Module) -> int:
    """How many samples are a batch of `samples` to train on.

    It is what the plan says; where the plan says nothing, what suits so many samples.

    Args:
        plan: of the run.
        samples: how many there are to train on.
        model: by whose layers the optimizer is chosen.

    Example:
        >>> from torch import nn
        >>> from edgespiral import Plan
        >>> batch_of(Plan(model="net.py:net", data="folder:photos", speedup=2), 46, nn.Identity())
        8
    """
    if "batch_size" in plan.model_fields_set:
        return plan.batch_size
    optimizer = named_optimizer(plan.optimizer, model).name
    short = is_short(samples, plan.epochs, optimizer)
    return fitting_batch(samples, accumulate=plan.accumulate, short=short)


def training_settings(plan: Plan, teacher: nn.Module, samples: int, task: Task) -> TrainSettings:
    """Of a training of all of the run's epochs.

    Args:
        plan: what it leaves open is as it is for distillation.
        teacher: by whose layers the optimizer is chosen.
        samples: how many there are to train on.
        task: whose temperature is taken where the plan says none.

    Raises:
        UsageError: settings contradict each other.
    """
    is_stated = "temperature" in plan.model_fields_set
    settings = TrainSettings.for_distillation(
        epochs=plan.epochs,
        batch_size=batch_of(plan, samples, teacher),
        learning_rate=plan.learning_rate,
        temperature=plan.temperature if is_stated else task.temperature,
        alpha=plan.alpha,
        seed=plan.seed,
        optimizer=named_optimizer(plan.optimizer, teacher).name,
        weight_decay=plan.weight_decay,
    )
    return replace(
        settings,
        schedule=plan.schedule,
        clip_norm=plan.clip_norm,
        ema_decay=plan.ema_decay,
        precision=precision_of(plan.amp),
        accumulate=plan.accumulate,
        freeze=plan.freeze,
        compiles=plan.compile,
        shards_teachers=plan.shard_teacher,
    )


def check_training(
    plan: Plan, teacher: nn.Module, training: Training, samples: int, task: Task
) -> None:
    """Refuse, before time is spent, what no student of `teacher` could be trained with.

    Args:
        samples: how many there are to train on.
        task: of the run.

    Raises:
        UsageError: settings contradict each other, a pattern freezes nothing, a teacher is to be
            shared out among one process, or the criterion needs a penalty that a loop of the user's
            would not have.
    """
    training_settings(plan, teacher, samples, task)
    check_freezing(teacher, plan.freeze)
    if plan.shard_teacher and (present().size == 1 or not isinstance(training, TrainingStep)):
        raise UsageError(
            "a training in one process has nobody to share the teacher's weights with",
            where=flag("shard_teacher"),
            hint="give --devices or start it by torchrun, without a loop of your own",
        )
    if CRITERIA.get(plan.criterion).trains_scales and not isinstance(training, TrainingStep):
        raise UsageError(
            f"{plan.criterion} trains with a penalty that a loop of one's own would not have",
            where=flag("criterion"),
            hint="use another criterion, or a TrainingStep",
        )
