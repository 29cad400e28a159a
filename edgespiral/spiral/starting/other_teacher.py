"""Another trained model than the one that is compressed, which teaches its students."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError
from edgespiral.core.option import flag
from edgespiral.distill.evaluate import score
from edgespiral.models import is_built_untrained
from edgespiral.spiral.doubts import doubts_about
from edgespiral.spiral.starting.named import named_model, weights_in

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.tasks.base import Task

OPTION = "teacher_model"
WHY = "students are cut from the original and learn this one's outputs, so they need the same ones"


def other_teacher(
    name: str | None, original: nn.Module, splits: DataSplits, task: Task
) -> GraphModule | None:
    """The model of a plan's `teacher_model`, traced; None where it names none.

    Args:
        name: a model's name with `=FILE` for its weights, or `path/to/file.py:factory`.
        original: the model that is compressed, traced.
        splits: of the run.
        task: of the run, which knows its original.

    Raises:
        UsageError: it is untrained, or as `named_model`.
        ModelError: as `named_model`.
    """
    if name is None:
        return None
    if weights_in(name) is None and is_built_untrained(name):
        raise UsageError(
            f"{name} comes without trained weights: it has nothing to teach",
            where=flag(OPTION),
            hint=f"name the file with them: {name}=weights.safetensors",
        )
    return named_model(name, original, splits, task, option=OPTION, why=WHY)


def tell_other_teacher(
    name: str | None,
    model: nn.Module | None,
    splits: DataSplits,
    task: Task,
    listener: Listener,
) -> None:
    """Say how good the other teacher is, if there is one, and what speaks against it."""
    if model is None:
        return
    with listener.steps("scoring the other teacher"):
        own = score(model, splits.validation, task=task, precision="fp32")
        doubts = doubts_about(model, splits, task, own)
    listener.say(f"  taught by {name}: {task.metric.named(own)} on validation")
    for doubt in doubts:
        listener.say(f"  warning: of {name}: {doubt}")
