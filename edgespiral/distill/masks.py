"""Weights that are to stay zero while a model trains."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

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
