"""A teacher's outputs, asked for at each step, or once and looked up in every pass.

A teacher says the same of a sample each time that it sees the same view of it. So where training
samples are shown as they are stored, its outputs are computed in one pass and kept, in place of a
forward pass of the teacher at every step (Shen and Xing 2022, "A Fast Knowledge Distillation
Framework for Visual Recognition", section 3, with one view a sample).
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import time
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch import Tensor

from edgespiral.core.batches import StoredSource
from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.nested import (
    apart,
    as_float,
    count,
    joined,
    leaves,
    mapped,
    rows,
)
from edgespiral.core.system.files import replacing
from edgespiral.core.user_code import user_code
from edgespiral.distill import compute
from edgespiral.distill.checkpoint import SAVE_EVERY_S
from edgespiral.distill.fuse import for_inference
from edgespiral.distill.parallel.answers import answers, put_together
from edgespiral.distill.parallel.outputs import MappedOutputs, read_outputs, write_outputs
from edgespiral.distill.parallel.world import present
from edgespiral.models.calling import call
from edgespiral.models.saved import weights_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import nn

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.nested import Tensors
    from edgespiral.distill.settings import Resolved

BATCH = 128
# Beyond the first, outputs are written to a mapped file as they come, up to the second.
MOST_BYTES, MOST_DISK_BYTES = 2**28, 2**34
DISK_SHARE = 0.5


def can_be_kept(source: BatchSource, values: int, disk: Path | None = None) -> bool:
    """Whether `source` shows its samples as stored, and few enough to be kept.

    Args:
        values: how many numbers a teacher's outputs are for each sample.
        disk: a folder that may be made, where more than memory has room for may lie: 16 GiB, and
            no more than half of what is free there; None: nothing beyond 256 MB.
    """
    fixed = isinstance(source, StoredSource) and source.order(0) is not None
    return fixed and 4 * values * len(source) <= _most_bytes(disk)


def _most_bytes(disk: Path | None) -> int:
    if disk is None:
        return MOST_BYTES
    there = next(folder for folder in (disk, *disk.absolute().parents) if folder.is_dir())
    free = int(DISK_SHARE * shutil.disk_usage(there).free)
    return max(MOST_BYTES, min(MOST_DISK_BYTES, free))


def stored_order(source: BatchSource, seed: int) -> Tensor:
    """Which samples (N,) the shuffled pass of `seed` shows.

    Raises:
        DataError: the source does not know, shows random views, or names samples it has not.
    """
    order = source.order(seed) if isinstance(source, StoredSource) else None
    if order is None:
        raise DataError("a teacher's kept outputs are of samples as stored, not of random views")
    if not torch.equal(order.sort().values, torch.arange(len(source))):
        raise DataError(
            f"order({seed}) does not name each of the {len(source)} training samples once",
            where="data",
            hint="return None from order(), or the order in which epoch() shows the samples",
        )
    return order


def kept_outputs(
    path: Path,
    teacher: nn.Module,
    source: BatchSource,
    progress: Callable[[int, int], None] | None = None,
    *,
    save_every_s: float = SAVE_EVERY_S,
) -> Tensors:
    """The outputs (N, ...) of `teacher` for all of `source` in stored order, kept in file `path`.

    Args:
        path: made if missing, and anew if it is of another teacher or of other samples.
        teacher: runs in eval mode on the best device, in bf16 where that is native; in a run of
            several processes each asks it about a share of the samples.
        source: a supply that knows its `order`.
        progress: hears batches done and to do.
        save_every_s: how often what is known so far is written beside `path`; an interrupted
            pass goes on from there. One of more than 256 MB begins anew.

    Raises:
        RunFolderError: the file is damaged or cannot be written.
    """
    identity = _identity(teacher, source)
    cached = read_outputs(path, identity)
    if cached is not None:
        return cached
    together = answers(present(), teacher, source, batch_size=BATCH, precision="auto")
    if together is not None:
        write_outputs(path, identity, together)
        return together
    batches = -(-len(source) // BATCH)
    heard = progress or (lambda _done, _of: None)
    part = path.with_suffix(".part")
    outputs = read_outputs(part, identity)
    done = [] if outputs is None else apart(outputs, BATCH)
    saved_at = time.monotonic()
    remaining = _outputs_of(teacher, source, first_batch=len(done))
    first = list(itertools.islice(remaining, 1))
    if first and len(source) * _sample_bytes(first[0]) > MOST_BYTES:
        own = itertools.chain(first, remaining)
        return _kept_on_disk(path, identity, teacher, source, batches=own, heard=heard)
    for batch in itertools.chain(first, remaining):
        done.append(batch)
        heard(len(done), batches)
        if time.monotonic() - saved_at > save_every_s:
            write_outputs(part, identity, joined(done))
            saved_at = time.monotonic()
    outputs = joined(done)
    write_outputs(path, identity, outputs)
    part.unlink(missing_ok=True)
    return outputs


class Teachers:
    """What the teachers of a training say of its samples, asked at each step or looked up.

    Args:
        models: seen in eval mode.
        stored: their outputs (T, N, ...) for the samples as stored, if these are known.
        device: where batches are.
        precision: that the teachers run in.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        stored: Tensors | None,
        device: torch.device,
        precision: Resolved,
    ) -> None:
        self._models = [model.eval() for model in models]
        self._stored, self._device, self._precision = stored, device, precision

    def stored_batches(
        self,
        source: BatchSource,
        own: slice | Tensor,
        *,
        batch_size: int,
        seed: int,
        first_batch: int,
    ) -> Iterator[Tensors | None]:
        """The outputs (T, B, ...) of each batch of a shuffled pass; None where they are not stored.

        Args:
            source: of the pass, as in `epoch`.
            own: the share of each batch that is this process's.
            batch_size, seed, first_batch: as in `epoch`.
        """
        if self._stored is None:
            return itertools.repeat(None)
        outputs, order = self._stored, stored_order(source, seed)
        starts = range(first_batch * batch_size, len(order), batch_size)
        shares = (order[start : start + batch_size][own] for start in starts)
        return (
            compute.targets_to(rows(outputs, (slice(None), share)), self._device)
            for share in shares
        )

    def outputs(self, inputs: Tensors, step: int) -> Tensors | None:
        """The outputs (T, B, ...) for inputs (B, ...) of a step; None without any teacher."""
        if not self._models:
            return None
        with torch.inference_mode(), compute.autocast(self._precision, self._device):
            answers = [_answer(model, inputs, step) for model in self._models]
            stacked = mapped(lambda *leaf: torch.stack(leaf), *answers)
        # Outside inference mode, so that a loss may keep it for backward.
        return mapped(Tensor.clone, stacked)


def running(model: nn.Module, step: int) -> AbstractContextManager[None]:
    """Inside, what fails is the model's forward at the step after `step` steps."""
    return user_code(ModelError, f"the model fails at step {step + 1}", where=type(model).__name__)


def _answer(model: nn.Module, inputs: Tensors, step: int) -> Tensors:
    with running(model, step):
        return as_float(call(model, inputs))


def _outputs_of(teacher: nn.Module, source: BatchSource, *, first_batch: int) -> Iterator[Tensors]:
    device = compute.best_device()
    precision = compute.resolved_precision("auto", device)
    network = for_inference(teacher.eval())
    with (
        compute.placed([network], device),
        torch.no_grad(),
        compute.autocast(precision, device),
    ):
        for inputs, _ in source.epoch(batch_size=BATCH, first_batch=first_batch):
            outputs = call(network, compute.inputs_to(inputs, device))
            yield mapped(Tensor.cpu, as_float(outputs))


def _sample_bytes(batch: Tensors) -> int:
    ends = leaves(batch).values()
    return sum(end[0].numel() * end.element_size() for end in ends)


def _identity(teacher: nn.Module, source: BatchSource) -> str:
    """Of all weights, and of the samples at the beginning, in the middle and at the end."""
    digest = hashlib.sha256(f"{weights_sha256(teacher)} {len(source)}".encode())
    batches = -(-len(source) // BATCH)
    for first in sorted({0, batches // 2, batches - 1}):
        epoch = source.epoch(batch_size=BATCH, first_batch=first)
        for batch in itertools.islice(epoch, 1):
            for tensor in [end for part in batch for end in leaves(part).values()]:
                digest.update(safetensors.torch.save({"": tensor.contiguous()}))
    return digest.hexdigest()


def _kept_on_disk(
    path: Path,
    identity: str,
    teacher: nn.Module,
    source: BatchSource,
    *,
    batches: Iterator[Tensors],
    heard: Callable[[int, int], None],
) -> Tensors:
    """What `write_outputs` would write, of `batches` that memory need not hold together.

    Raises:
        RunFolderError: the disk is full, or outputs are of a kind that files do not have.
        ProcessLostError: another process is gone.
    """
    first, samples = next(batches), len(source)
    with replacing(path) as temporary:
        mapped = MappedOutputs.made(temporary, first, samples, identity)
        if not put_together(
            present(), teacher, source, temporary, batch_size=BATCH, precision="auto", heard=heard
        ):
            seen = 0
            for number, batch in enumerate(itertools.chain([first], batches), 1):
                mapped.put(seen, batch)
                seen += count(batch)
                heard(number, -(-samples // BATCH))
        mapped.seal()
    outputs = read_outputs(path, identity)
    assert outputs is not None
    return outputs
