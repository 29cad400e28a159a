"""One process's part of a student that several train: its share of a batch, its gradients' mean."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edgespiral.core.batches import SharedSource
from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from edgespiral.core.batches import BatchSource
    from edgespiral.distill.losses import Batch
    from edgespiral.distill.own_training import TrainingStep
    from edgespiral.distill.parallel.world import World

NONE_UNUSED = "find_unused_parameters=True was specified in DDP constructor"
RENAMED = "`broadcast_buffers` is deprecated"


def require_shares(batch_size: int, accumulate: int, processes: int) -> None:
    """Refuse batches whose parts cannot be shared out evenly; one process needs no shares.

    Raises:
        UsageError: the number of samples is no multiple of parts times processes.
    """
    pieces = accumulate * processes
    if processes == 1 or batch_size % pieces == 0:
        return
    nearest = max(1, round(batch_size / pieces)) * pieces
    parts = f" in {accumulate} parts" if accumulate > 1 else ""
    raise UsageError(
        f"{batch_size} samples{parts} cannot be shared out evenly among {processes} processes",
        where="--batch-size",
        hint=f"choose a multiple of {pieces}, such as {nearest}",
    )


def own_rows(batch_size: int, accumulate: int, world: World) -> slice | Tensor:
    """Which samples of a batch are a process's: its share of each part of the batch.

    So a part has the same samples whatever the number of processes, and so have the statistics of
    batch norms.

    Example:
        >>> from edgespiral.distill.parallel.world import World
        >>> own_rows(8, 2, World(rank=1, size=2)).tolist()
        [2, 3, 6, 7]
    """
    if world.size == 1:
        return slice(None)
    by_part = torch.arange(batch_size).view(accumulate, world.size, -1)
    return by_part[:, world.rank].flatten()


def own_share(source: BatchSource, rows: slice | Tensor, own: TrainingStep) -> BatchSource | None:
    """The supply of these places of each batch alone; None where whole batches are needed."""
    if isinstance(rows, slice) or own.alters_views or not isinstance(source, SharedSource):
        return None
    return source.share(rows)


class Replica:
    """The loss of a student, whose gradients are the mean over all processes.

    Loss and student are one module to PyTorch's `DistributedDataParallel`: what takes part in the
    loss is then known to it, whatever a step of the user's own does with the student.

    Args:
        student: on its device.
        loss: the scalar loss of a batch, by way of `student`.
        world: the processes.
    """

    def __init__(self, student: nn.Module, loss: Callable[[Batch], Tensor], world: World) -> None:
        self._loss, self._parallel = loss, None
        if world.size > 1:
            with warnings.catch_warnings():
                # The newer name of the option is not known to older versions of PyTorch.
                warnings.filterwarnings("ignore", RENAMED)
                self._parallel = DistributedDataParallel(
                    _LossOf(student, loss), broadcast_buffers=False, find_unused_parameters=True
                )

    def loss(self, batch: Batch) -> Tensor:
        """The loss of this process's share of a batch."""
        if self._parallel is None:
            return self._loss(batch)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", NONE_UNUSED)
            loss: Tensor = self._parallel(batch)
        return loss

    def adding_up(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Inside, gradients add up in this process, and are averaged after the last part."""
        if self._parallel is None or is_last:
            return nullcontext()
        waiting: AbstractContextManager[None] = self._parallel.no_sync()
        return waiting

    def close(self) -> None:
        """Let go of the student."""
        self._parallel = None


class _LossOf(nn.Module):
    def __init__(self, student: nn.Module, loss: Callable[[Batch], Tensor]) -> None:
        super().__init__()
        self.student = student
        self._loss = loss

    def forward(self, batch: Batch) -> Tensor:
        return self._loss(batch)
