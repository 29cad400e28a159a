"""What is to stay as it is while a model trains: zeros among its weights, and its teachers."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import TrainingError
from edgespiral.models.saved import weights_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn


class HeldZeros:
    """The zeros of a model's parameters, put back after each optimiser step.

    Args:
        model: its parameters are changed in place, wherever they are moved later.
        masks: by parameter name, True where a weight may be other than zero.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Tensor]) -> None:
        self.digest = _digest(masks)
        # Tied weights too have a name each.
        parameters = dict(model.named_parameters(remove_duplicate=False))
        self._zeros = [
            (parameters[name], torch.zeros_like(parameters[name], dtype=torch.bool).copy_(~mask))
            for name, mask in masks.items()
        ]

    @torch.no_grad()
    def put_back(self) -> None:
        """Set the weights that the masks leave out to zero (never to a negative zero)."""
        for parameter, zeros in self._zeros:
            parameter.masked_fill_(zeros.to(parameter.device), 0.0)


@contextmanager
def untouched(student: nn.Module, teachers: Sequence[nn.Module], where: str) -> Iterator[None]:
    """Run somebody else's training inside, which changes the student's weights and nothing else.

    Raises:
        TrainingError: `where` has changed a teacher, or what the student's layers do beside their
            weights, which no file of it would have.
    """
    weights, ways = [weights_sha256(teacher) for teacher in teachers], _ways(student)
    yield
    after = [weights_sha256(teacher) for teacher in teachers]
    if after != weights or any(m.training for teacher in teachers for m in teacher.modules()):
        raise TrainingError(
            "it changes the teacher, by whose answers and scores students are judged",
            where=where,
            hint="train the student alone; copy a module that is to change",
        )
    now = _ways(student)
    if [(name, way[0]) for name, way in now.items()] != [(n, way[0]) for n, way in ways.items()]:
        raise TrainingError(
            "it changed the student's layers",
            where=where,
            hint="train its weights, and leave layers and names as they are",
        )
    changed = next((name for name, way in now.items() if ways[name] != way), None)
    if changed is not None:
        raise TrainingError(
            f"it leaves a hook or another forward on the student's layer {changed!r}",
            where=where,
            hint="take it off when the training ends: no file of the student has it",
        )


def _ways(model: nn.Module) -> dict[str, tuple[object, ...]]:
    """Of each layer its kind, its hooks and whether it has a forward of its own."""
    return {
        name: (
            type(layer),
            *map(len, (layer._forward_hooks, layer._forward_pre_hooks)),
            "forward" in vars(layer),
        )
        for name, layer in model.named_modules()
    }


def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the weights that `masks` leave out to zero, in place."""
    HeldZeros(model, masks).put_back()


def _digest(masks: Mapping[str, Tensor]) -> str | None:
    if not masks:
        return None
    digest = hashlib.sha256()
    for name, mask in masks.items():
        digest.update(name.encode() + mask.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
