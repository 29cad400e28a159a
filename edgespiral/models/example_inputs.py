"""Inputs made up to look at a model: right in shape and type, arbitrary in value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def example_input(shape: tuple[int, ...], *, token_count: int | None = None) -> Tensor:
    """One input (1, *shape), the same each time.

    Args:
        shape: sizes without the batch.
        token_count: inputs are int64 token ids below it; None for float32 ones.
    """
    generator = torch.Generator().manual_seed(0)
    if token_count is not None:
        return torch.randint(0, token_count, (1, *shape), generator=generator)
    return torch.randn(1, *shape, generator=generator)
