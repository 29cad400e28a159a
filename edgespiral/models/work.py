"""What one pass through a model takes, as a number that is the same on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from torch import Tensor, nn


def flops_of(model: nn.Module, example: Tensor) -> float:
    """Floating-point operations of a forward pass, two for a multiplication and its addition.

    What is done to single elements does not count. Of a model without convolutions or products of
    matrices there is nothing to count; it is given 1, so that budgets can be divided by it.

    Args:
        model: takes `example`.
        example: (N, ...).

    Example:
        >>> flops_of(torch.nn.Linear(3, 5), torch.zeros(2, 3))
        60.0
    """
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(example)
    return max(1.0, float(counter.get_total_flops()))
