"""Models of the teacher's family, as a plan names them, ready to be trained in a cut's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.spiral.starting.named import named_model, weights_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.tasks.base import Task

WHY = "a sibling learns the teacher's outputs, so it needs the same ones"


def begins_fresh(name: str) -> bool:
    """Whether a sibling has random weights at first, and not those of a file.

    Example:
        >>> begins_fresh("resnet8"), begins_fresh("resnet8=trained.safetensors")
        (True, False)
    """
    return weights_in(name) is None


def sibling_of(
    name: str, teacher: nn.Module, splits: DataSplits, task: Task, seed: int
) -> GraphModule:
    """The sibling of a name.

    Args:
        name: a model's name, or `path/to/file.py:factory`; with `=FILE` its weights are there.
        teacher: who is to teach it, traced.
        splits: of the run.
        task: of the run, which knows its teacher.
        seed: of random weights.

    Raises:
        UsageError, ModelError: as `named_model`.
    """
    return named_model(name, teacher, splits, task, option="family", why=WHY, seed=seed)


def check_family(
    names: Sequence[str], teacher: nn.Module, splits: DataSplits, task: Task, seed: int
) -> None:
    """Refuse siblings that could only fail once time was spent.

    Raises:
        UsageError, ModelError: as `sibling_of`.
    """
    for name in names:
        sibling_of(name, teacher, splits, task, seed)
