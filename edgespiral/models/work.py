"""What one pass through a model takes, as a number that is the same on every machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from edgespiral.models.calling import called
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.nested import Tensors

LAYERS = (_ConvNd, nn.Linear, nn.LSTM, nn.GRU, nn.RNN)


def flops_of(model: nn.Module, example: Tensors) -> float:
    """Floating-point operations of the layers that have weights: two for each use of a weight.

    PyTorch's own counter of operations knows no recurrent layers here, and importing it takes
    longer than a pass through most models. Where there is nothing to count it is 1, so that budgets
    can be divided by it.

    Args:
        model: takes `example`.
        example: its inputs, of N samples.

    Example:
        >>> flops_of(nn.Linear(3, 5), torch.zeros(2, 3))
        60.0
    """
    total = 0.0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> None:  # noqa: ANN401
        nonlocal total
        weights = sum(p.numel() for n, p in layer.named_parameters() if n.startswith("weight"))
        total += 2.0 * weights * _uses(layer, inputs[0], outputs)

    handles = [
        layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, LAYERS)
    ]
    try:
        with evaluating(model), torch.no_grad():
            called(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return max(1.0, total)


def parameter_count(model: nn.Module) -> int:
    """How many parameters a model has; what several layers share counts once.

    Example:
        >>> parameter_count(nn.Linear(3, 5))
        20
    """
    return sum(parameter.numel() for parameter in model.parameters())


def _uses(layer: nn.Module, inputs: Tensor, outputs: Any) -> int:  # noqa: ANN401
    """How often a layer uses each of its weights."""
    if isinstance(layer, _ConvNd):
        read = inputs if layer.transposed else outputs
        return math.prod(read.shape) // (
            layer.in_channels if layer.transposed else layer.out_channels
        )
    return math.prod(inputs.shape[:-1])
