"""Models that a plan names beside the one that it compresses, ready for the run's data."""

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
    from torch import nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.tasks.base import Task

# Between a model and the file with its weights.
WEIGHTS_AFTER = "="


def weights_in(name: str) -> Path | None:
    """The file of weights that `name` has after the model, if it has one.

    Example:
        >>> weights_in("resnet8"), weights_in("resnet8=trained.safetensors").name
        (None, 'trained.safetensors')
    """
    weights = name.partition(WEIGHTS_AFTER)[2]
    return Path(weights) if weights else None


def named_model(
    name: str,
    original: nn.Module,
    splits: DataSplits,
    task: Task,
    *,
    option: str,
    why: str,
    seed: int = 0,
) -> GraphModule:
    """The model of a name, traced, which takes the run's data and answers as the original does.

    Args:
        name: a model's name, or `path/to/file.py:factory`; with `=FILE` its weights are there.
        original: the model that the run began with, traced.
        splits: of the run.
        task: of the run, which knows its original.
        option: the plan's field that names it.
        why: it has to answer as the original does.
        seed: of random weights, where it has these.

    Raises:
        UsageError: unknown name, or a factory that cannot be found or fails.
        ModelError: it does not take what the original takes, or does not answer in the same form.
    """
    try:
        model = _built(name, splits, task, seed)
        own, original_s = (_form(network, splits) for network in (model, original))
        if own != original_s:
            raise ModelError(
                f"it answers with {own} where the teacher answers with {original_s}", hint=why
            )
    except EdgeSpiralError as error:
        place = f"{flag(option)} {name}"
        error.where = f"{place}: {error.where}" if error.where else place
        raise
    return model


def _built(name: str, splits: DataSplits, task: Task, seed: int) -> GraphModule:
    spec = name.partition(WEIGHTS_AFTER)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, 6))
        model = load_model_for(splits, spec, weights=weights_in(name))
    return trace(accepted(model, splits, task)[0], first_inputs(splits))


def _form(model: nn.Module, splits: DataSplits) -> str:
    with torch.no_grad(), evaluating(model):
        return shapes(plain(call(model, first_inputs(splits))))
