"""What a run, or an exploration, is asked for, with all that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.distill.own_training import USUAL

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.distill.own_training import Training
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A plan with the model, the data and the task that it names.

    Attributes:
        plan: what is asked for.
        model: the trained teacher, as it came.
        splits: the data, as they came.
        task: what the model is for.
        training: of students, the user's own if it is.
        out: the run folder, made if missing.
        resume: go on with what is in `out`.
        listener: hears the progress.
        command: that asked for it, as a person would write it.
    """

    plan: Plan
    model: nn.Module
    splits: DataSplits
    task: Task
    training: Training = USUAL
    out: Path
    resume: bool
    listener: Listener
    command: str
