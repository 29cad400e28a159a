"""A teacher's outputs, asked for once and looked up in every pass.

A teacher says the same of a sample each time that it sees the same view of it. So where training
samples are shown as they are stored, its logits are computed in one pass and kept, in place of a
forward pass of the teacher at every step (Shen and Xing 2022, "A Fast Knowledge Distillation
Framework for Visual Recognition", section 3, with one view a sample).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors.torch
import torch

from edgespiral.core.batches import StoredSource
from edgespiral.core.errors import DataError, RunFolderError
from edgespiral.core.files import replacing
from edgespiral.distill import compute

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.batches import BatchSource

BATCH = 128
MOST_BYTES = 2**28
KEY = "logits"


def can_be_kept(source: BatchSource, classes: int) -> bool:
    """Whether `source` shows its samples as stored, and few enough for memory."""
    fixed = isinstance(source, StoredSource) and source.order(0) is not None
    return fixed and 4 * classes * len(source) <= MOST_BYTES


def stored_order(source: BatchSource, seed: int) -> Tensor:
    """Which samples (N,) the shuffled pass of `seed` shows.

    Raises:
        DataError: the source does not know, or shows random views.
    """
    order = source.order(seed) if isinstance(source, StoredSource) else None
    if order is None:
        raise DataError("a teacher's kept outputs are of samples as stored, not of random views")
    return order


def kept_outputs(
    path: Path,
    teacher: nn.Module,
    source: BatchSource,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The logits (N, C) of `teacher` for all of `source` in stored order, kept in file `path`.

    Args:
        path: made if missing; the caller sees to it that it is of this teacher and source.
        teacher: runs in eval mode on the best device, in bf16 where that is native.
        source: a supply that knows its `order`.
        progress: hears batches done and to do.

    Raises:
        RunFolderError: the file is damaged or cannot be written.
    """
    if not path.exists():
        outputs = _asked(teacher, source, progress)
        with replacing(path) as temporary:
            temporary.write_bytes(safetensors.torch.save({KEY: outputs}))
    try:
        found = safetensors.torch.load_file(path)[KEY]
    except (safetensors.SafetensorError, KeyError) as error:
        raise RunFolderError(
            "the teacher's kept outputs are damaged", where=str(path), hint="delete the file"
        ) from error
    if len(found) != len(source):
        raise RunFolderError(
            f"outputs of {len(found)} samples, of {len(source)}",
            where=str(path),
            hint="delete the file",
        )
    return found


def _asked(
    teacher: nn.Module, source: BatchSource, progress: Callable[[int, int], None] | None
) -> Tensor:
    device = compute.best_device()
    precision = compute.resolved_precision("auto", device)
    batches, outputs = -(-len(source) // BATCH), []
    with (
        compute.placed([teacher.eval()], device),
        torch.inference_mode(),
        compute.autocast(precision, device),
    ):
        for inputs, labels in source.epoch(batch_size=BATCH):
            seen, _ = compute.to_device(inputs, labels, device)
            outputs.append(teacher(seen).float().cpu())
            if progress is not None:
                progress(len(outputs), batches)
    return torch.cat(outputs).clone()
