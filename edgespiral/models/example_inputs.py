"""Inputs made up to look at a model: right in shape and type, arbitrary in value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.core.batches import first_inputs
from edgespiral.core.nested import mapped

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.batches import DataSplits, InputSpec
    from edgespiral.core.nested import Tensors


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


def made_up(specs: Tensors, count: int, *, like: Tensors) -> Tensors:
    """Arbitrary inputs (count, ...), the same each time; those of `like` where any may be wrong.

    Args:
        specs: an `InputSpec` for each input.
        like: real samples: whole numbers that are no ids, such as lengths and masks, are theirs.
    """
    generator = torch.Generator().manual_seed(0)
    from_first = torch.arange(count)

    def input_of(spec: InputSpec, real: Tensor) -> Tensor:
        shape = (count, *spec.shape)
        if spec.token_count is not None:
            return torch.randint(0, spec.token_count, shape, generator=generator).to(real.dtype)
        if not real.is_floating_point():
            return real[from_first % len(real)]
        return torch.randn(shape, generator=generator)

    return mapped(input_of, specs, like)


def example_of(splits: DataSplits) -> Tensors:
    """One arbitrary sample's inputs (1, ...) of the forms that data has, the same each time."""
    return made_up(splits.specs, 1, like=first_inputs(splits, 1))
