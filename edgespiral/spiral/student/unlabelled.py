"""Data without targets: the student learns from its teacher alone, and is scored by it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from edgespiral.core.batches import first_inputs, retargeted
from edgespiral.core.errors import DataError
from edgespiral.core.nested import mapped
from edgespiral.distill import compute
from edgespiral.models.calling import call

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Task


def taught_by(teacher: nn.Module, splits: DataSplits, task: Task) -> DataSplits:
    """`splits` whose targets are what `task` makes of the teacher's outputs.

    Args:
        teacher: the model; a copy of it answers, once for each batch that is shown.
        splits: without targets.

    Raises:
        DataError: the task does not take outputs for targets.
    """
    device = compute.best_device()
    own = copy.deepcopy(teacher).eval().to(device)

    def answer(inputs: Tensors, _targets: Tensors = None) -> Tensors:
        with torch.no_grad():
            outputs = call(own, compute.inputs_to(inputs, device))
        return mapped(torch.Tensor.cpu, task.targets_of(outputs))

    if answer(first_inputs(splits, 1)) is None:
        raise DataError(
            "has no targets, and its task does not take a teacher's outputs for them",
            where=splits.name,
            hint="give each sample its target, or a task with targets_of",
        )
    return retargeted(splits, answer)
