"""Models of the teacher's family, as a plan names them, ready to be trained in a cut's place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import EdgeSpiralError, ModelError
from edgespiral.core.nested import plain, shapes
from edgespiral.core.option import flag
from edgespiral.core.seeds import derived_seed
from edgespiral.models.calling import call
from edgespiral.models.load import load_model_for
from edgespiral.models.modes import evaluating
from edgespiral.models.saved import trace
from edgespiral.spiral.starting.fitting import accepted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.tasks.base import Task

# Between a model and the file with its weights.
WEIGHTS_AFTER = "="


def begins_fresh(name: str) -> bool:
    """Whether a sibling has random weights at first, and not those of a file.

    Example:
        >>> begins_fresh("resnet8"), begins_fresh("resnet8=trained.safetensors")
        (True, False)
    """
    return WEIGHTS_AFTER not in name


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
        UsageError: unknown name, or a factory that cannot be found or fails.
        ModelError: it does not take what the teacher takes, or does not answer in the same form.
    """
    try:
        return _built(name, teacher, splits, task, seed)
    except EdgeSpiralError as error:
        place = f"{flag('family')} {name}"
        error.where = f"{place}: {error.where}" if error.where else place
        raise


def check_family(
    names: Sequence[str], teacher: nn.Module, splits: DataSplits, task: Task, seed: int
) -> None:
    """Refuse siblings that could only fail once time was spent.

    Raises:
        UsageError, ModelError: as `sibling_of`.
    """
    for name in names:
        sibling_of(name, teacher, splits, task, seed)


def _built(name: str, teacher: nn.Module, splits: DataSplits, task: Task, seed: int) -> GraphModule:
    spec, _, weights = name.partition(WEIGHTS_AFTER)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, 6))
        model = load_model_for(splits, spec, weights=Path(weights) if weights else None)
    sibling = trace(accepted(model, splits, task)[0], first_inputs(splits))
    own, theirs = (_form(network, splits) for network in (sibling, teacher))
    if own != theirs:
        raise ModelError(
            f"it answers with {own} where the teacher answers with {theirs}",
            hint="a sibling learns the teacher's outputs, so it needs the same ones",
        )
    return sibling


def _form(model: nn.Module, splits: DataSplits) -> str:
    with torch.no_grad(), evaluating(model):
        return shapes(plain(call(model, first_inputs(splits))))
