"""Batch norms whose statistics are of the whole batch, though each process sees its share.

So a student comes out as it does of one process, whatever their number. PyTorch's `SyncBatchNorm`
does so on GPUs and nowhere else; on the CPU, `GlobalBatchNorm` computes the same.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from edgespiral.distill.parallel.world import World

LOCAL = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
GROUP = "process_group"


@contextmanager
def synchronised(model: nn.Module, world: World, device: torch.device) -> Iterator[None]:
    """Inside, batch norms in training mode take their statistics over all processes.

    Args:
        model: its layers change their class for the while, and keep parameters and buffers.
        world: the processes; with one, nothing changes.
        device: where the model is.
    """
    norms = [layer for layer in model.modules() if type(layer) in LOCAL] if world.size > 1 else []
    before = [type(layer) for layer in norms]
    on_gpu = device.type == "cuda"
    for layer in norms:
        layer.__class__ = nn.SyncBatchNorm if on_gpu else GlobalBatchNorm
        setattr(layer, GROUP, None)
    try:
        yield
    finally:
        for layer, kind in zip(norms, before, strict=True):
            layer.__class__ = kind
            delattr(layer, GROUP)


class GlobalBatchNorm(_BatchNorm):
    """A batch norm of any number of dimensions, over the batches of all processes.

    All have as many samples. Statistics are computed in single precision.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        samples = inputs.float()
        dims = [dim for dim in range(inputs.dim()) if dim != 1]
        shape = [1, -1, *[1] * (inputs.dim() - 2)]
        count = samples.numel() // samples.shape[1] * distributed.get_world_size()
        mean = _sum(samples.sum(dims)) / count
        centred = samples - mean.view(shape)
        variance = _sum(centred.square().sum(dims)) / count
        self._follow(mean.detach(), variance.detach() * count / max(1, count - 1))
        outputs = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            outputs = torch.addcmul(self.bias.view(shape), outputs, self.weight.view(shape))
        return outputs.to(inputs.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (as the base class has it)
        """Any number of dimensions, as of the layer that it stands for."""


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:  # noqa: ANN401
        return _all_reduced(value)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        return _all_reduced(gradient)


def _all_reduced(value: Tensor) -> Tensor:
    total = value.contiguous().clone()
    distributed.all_reduce(total)
    return total


def _sum(value: Tensor) -> Tensor:
    total: Tensor = _SumOverRanks.apply(value)  # type: ignore[no-untyped-call]
    return total
