"""The statistics and scales of batch norms, and weights too small to compute with."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from edgespiral.core.seeds import derived_seed
from edgespiral.distill import compute

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.core.batches import BatchSource


def recalibrate_batchnorm(
    model: nn.Module,
    source: BatchSource,
    *,
    batches: int = 20,
    batch_size: int = 128,
    seed: int = 0,
) -> None:
    """Estimate the batch-norm statistics of `model` afresh, in place, as a cumulative average.

    Sees `batches` training batches of `batch_size` samples, or one whole pass if that is less.
    """
    device = compute.best_device()
    size = min(batch_size, len(source))
    inputs = (
        compute.Boxed(compute.inputs_to(batch, device))
        for batch, _ in itertools.islice(source.epoch(batch_size=size, seed=seed), batches)
    )
    precision = compute.resolved_precision("auto", device)
    with (
        compute.placed([model], device),
        compute.numerics(device),
        compute.autocast(precision, device),
    ):
        torch.manual_seed(derived_seed(seed))
        update_bn(inputs, compute.TakesBoxed(model).train(model.training))


def batchnorm_scales(model: nn.Module) -> list[nn.Parameter]:
    """The scaling factors (channels,) of every batch norm that has some."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return [norm.weight for norm in norms if norm.weight is not None]


def flush_subnormals(model: nn.Module) -> None:
    """Set weights too small for normal arithmetic to 0: on a CPU they are many times slower."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.masked_fill_(tensor.abs() < torch.finfo(tensor.dtype).tiny, 0)
