"""What a training says where memory is short or another process is gone."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import distributed

from edgespiral.core.errors import EdgeSpiralError, ProcessLostError, TrainingError
from edgespiral.core.system.launched import STEP_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.distill.parallel.world import World

ON_CPU = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")
# As far as PyTorch's words are of use to others than its developers.
ON_GPU = re.compile(r"Tried to allocate .*? is free", re.DOTALL)
# Gloo raises no error of a class of its own; the file of its source is in the words.
GLOO = re.compile(r"\bgloo\b", re.IGNORECASE)
TIMED_OUT = re.compile(r"timed out|time-?out", re.IGNORECASE)
GIB = 2**30


@contextmanager
def explained(world: World, device: torch.device) -> Iterator[None]:
    """Name what fails inside where it is no fault of the model: memory, or another process.

    Raises:
        TrainingError: this process is out of memory; how much was asked for, and what to lower.
        ProcessLostError: another process is gone.
    """
    try:
        yield
    except (RuntimeError, MemoryError, EdgeSpiralError) as error:
        explanation = _told(error, world, device)
        if explanation is None:
            raise
        raise explanation from error


def _told(error: BaseException, world: World, device: torch.device) -> TrainingError | None:
    for cause in _causes(error):
        amount = _asked_for(cause)
        if amount is not None:
            return TrainingError(
                f"ran out of memory: {amount}",
                where=world.name if world.size > 1 else str(device),
                hint="lower --batch-size, or raise --accumulate",
            )
    if world.size > 1 and any(map(_is_of_others, _causes(error))):
        words = world.failure()
        if words is not None:
            return ProcessLostError(words)
        if any(TIMED_OUT.search(str(cause)) for cause in _causes(error)):
            return ProcessLostError(
                f"another process of this run has not answered for {STEP_TIMEOUT}",
                where=world.name,
                hint="see what it waits for, such as its data, and go on with --resume",
            )
        return ProcessLostError(
            "another process of this run is gone",
            where=world.name,
            hint="go on from the last checkpoint with --resume",
        )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _asked_for(error: BaseException) -> str | None:
    """What of memory could not be had, if that is what the error is about."""
    words = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError):
        on_gpu = ON_GPU.search(words)
        return on_gpu[0] if on_gpu else words
    on_cpu = ON_CPU.search(words)
    if on_cpu and isinstance(error, RuntimeError):
        return f"{int(on_cpu[1]) / GIB:.3g} GiB were asked for"
    return "the machine has no more" if isinstance(error, MemoryError) else None


def _is_of_others(error: BaseException) -> bool:
    if isinstance(error, (distributed.DistError, ProcessLostError)):
        return True
    return isinstance(error, RuntimeError) and GLOO.search(str(error)) is not None
