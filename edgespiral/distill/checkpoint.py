"""The state of a training run on disk: atomic, tensors and plain values only."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from edgespiral.core.errors import RunFolderError
from edgespiral.core.system.files import replacing
from edgespiral.models.checkpoint_files import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from edgespiral.core.batches import BatchSource
    from edgespiral.distill.settings import TrainSettings

# Work that an interruption may cost.
SAVE_EVERY_S = 20.0
# What is read without running any code that is in the file.
PLAIN = (Tensor, nn.Parameter, str, bytes, int, float, complex, bool, type(None))


@dataclass(frozen=True)
class Checkpoint:
    """A training run after `step` steps.

    Attributes:
        identity: what the run is; a checkpoint of another identity is refused.
        step: steps done.
        seconds: time spent on them, all sessions together.
        loss: running mean of the training loss.
        student: state dict of the model.
        optimizer: state dict of the optimizer.
    """

    identity: str
    step: int
    seconds: float
    loss: float
    student: dict[str, Any]
    optimizer: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write to `path`, replacing it atomically.

        Raises:
            RunFolderError: it cannot be written.
        """
        with replacing(path) as temporary, temporary.open("wb") as file:
            stream = _Stream(file)
            torch.save(vars(self), cast("BinaryIO", stream))
            if stream.error is not None:
                raise stream.error


class _Stream:
    """A file for `torch.save`, which tells of a full disk in words of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, and keep the first error; all that comes after it is let go."""
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Nothing: the file is closed before it is looked at."""


def require_plain(state: dict[str, Any]) -> dict[str, Any]:
    """`state`, if a checkpoint can hold it and be read again.

    Raises:
        TypeError: something in it is neither a tensor nor a plain value.

    Example:
        >>> require_plain({"step": 3, "ids": [1, 2]})
        {'step': 3, 'ids': [1, 2]}
    """
    if not isinstance(state, dict):
        raise TypeError(f"it is a {type(state).__name__}, not a dict")
    odd = next((value for value in tree_leaves(state) if type(value) not in PLAIN), None)
    if odd is not None:
        raise TypeError(f"a {type(odd).__name__} in it is neither a tensor nor a plain value")
    return state


def read(path: Path, identity: str, weights: Iterable[str] | None = None) -> Checkpoint | None:
    """The checkpoint at `path`, or None where there is none.

    Args:
        path: of the file.
        identity: of the run that is to go on.
        weights: names of the student's; these, the loss and the optimizer's state are numbers
            wherever the usual training keeps them. None for a loop that keeps what it likes.

    Raises:
        RunFolderError: damaged, or of a run with another identity.
    """
    if not path.is_file():
        return None
    try:
        checkpoint = Checkpoint(**read_checkpoint(path))  # type: ignore[arg-type]
    except Exception as error:  # damaged bytes make the unpickler raise anything
        raise RunFolderError(
            "the checkpoint is damaged", where=str(path), hint="delete it to train afresh"
        ) from error
    if checkpoint.identity != identity:
        raise RunFolderError(
            "the checkpoint belongs to a run with other settings, data or model",
            where=str(path),
            hint="give the settings of that run, or another folder",
        )
    if weights is not None and not _are_numbers(checkpoint, weights):
        raise RunFolderError(
            "the checkpoint is damaged: not all of it are numbers",
            where=str(path),
            hint="delete it to train afresh",
        )
    return checkpoint


def _are_numbers(checkpoint: Checkpoint, weights: Iterable[str]) -> bool:
    tensors = [value for value in tree_leaves(checkpoint.optimizer) if isinstance(value, Tensor)]
    of_student = [checkpoint.student[name] for name in weights if name in checkpoint.student]
    return (
        math.isfinite(checkpoint.loss)
        and all(bool(value.isfinite().all()) for value in of_student)
        # Averages of squares may be beyond any number and do no harm.
        and not any(bool(value.isnan().any()) for value in tensors)
    )


def identity_of(
    model: nn.Module,
    source: BatchSource,
    settings: TrainSettings,
    others: Mapping[str, object],
    own: str,
) -> str:
    """What a checkpoint is of: a training of another identity does not go on from it."""
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    beside = {"samples": len(source), "shapes": shapes, **others} | ({"own": own} if own else {})
    return json.dumps(settings.identity | beside)
