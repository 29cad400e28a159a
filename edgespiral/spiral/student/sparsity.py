"""Weight pruning in the spiral: the zeros of each turn's student, and what they came to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import ExportError, first_few
from edgespiral.core.records.exported import WeightSparsity
from edgespiral.distill.batchnorm import recalibrate_batchnorm
from edgespiral.distill.masks import apply_masks
from edgespiral.export.onnx import export_onnx
from edgespiral.export.precision import convert_untrained
from edgespiral.export.zeros import compressed_bytes, read_zeros
from edgespiral.models.saved import load_model
from edgespiral.prune.sparsity import GROUP, check_thinnable, left_dense, masks_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.schema import Int8Form, Precision, Sparsity
    from edgespiral.spiral.student.kernels import Kernels


def planned_multiple(sparsity: Sparsity, channel_multiple: int) -> int:
    """The step of widths: with 2:4, one that also leaves whole groups of four input channels."""
    return math.lcm(channel_multiple, GROUP) if sparsity == "2:4" else channel_multiple


def announce(
    sparsity: Sparsity, teacher: nn.Module, kernels: Mapping[str, Kernels], listener: Listener
) -> None:
    """Say before any training what `sparsity` will not do on the targets of `kernels`.

    Raises:
        ModelError: no layer of the teacher can have it.
    """
    if sparsity == "none":
        return
    check_thinnable(teacher, sparsity)
    dense = [f"{name} ({why})" for name, why in left_dense(teacher, sparsity).items()]
    if dense:
        listener.say(f"  stays dense: {first_few(dense)}")
    for target, usable in kernels.items():
        if usable == "none":
            listener.say(f"  {target} has no kernels for such zeros: no speed-up expected of them")
        elif usable == "off":
            listener.say(
                f"  {target} will run the zeros as any other weights: set sparsity = true, and a "
                "precision of fp16 or int8, in its [runtime]"
            )


def thinned(
    sparsity: Sparsity, model: nn.Module, train: BatchSource, *, batches: int, seed: int
) -> dict[str, Tensor]:
    """Set the weights that are pruned to zero, in place, and return the masks to keep.

    A function of the model, the sparsity and the seed alone, so a resumed turn has the same masks.

    Raises:
        ModelError: no layer can have the sparsity asked for.
    """
    masks = masks_for(model, sparsity)
    if masks:
        apply_masks(model, masks)
        recalibrate_batchnorm(model, train, batches=batches, seed=seed)
    return masks


def sparsity_of(
    onnx: Path,
    student: nn.Module,
    masks: Mapping[str, Tensor],
    *,
    sparsity: float | Literal["2:4"],
    kernels: Kernels,
    dense_bytes: Callable[[], int],
) -> WeightSparsity:
    """What weight pruning left in the student's file `onnx`.

    Args:
        sparsity: the share of weights, or the pattern.
        kernels: what the target can do with zeros.
        dense_bytes: compressed size of the same cut before its weights were pruned.

    Raises:
        ExportError: the file has fewer zeros than the student.
    """
    layers = read_zeros(onnx)
    masked = sum(int((~mask).sum()) for mask in masks.values())
    zeros = sum(layer.zeros for layer in layers)
    if zeros < masked:
        raise ExportError(f"has {zeros} zeros, the student {masked}", where=str(onnx))
    return WeightSparsity(
        asked=sparsity,
        layers=layers,
        left_dense=left_dense(student, sparsity),
        kernels=kernels,
        compressed_bytes=compressed_bytes(onnx),
        dense_compressed_bytes=dense_bytes(),
    )


def dense_bytes(folder: Path, splits: DataSplits, *, written: Precision, form: Int8Form) -> int:
    """Compressed size of a turn's cut before its weights were pruned.

    Args:
        folder: of the turn, which has the cut model.
        splits: say what the model takes.
        written: the precision that the file has.
        form: of int8 files.
    """
    path = folder / "dense.onnx"
    model = load_model(folder / "cut")
    export_onnx(model, path, example=first_inputs(splits, 1))
    converted = convert_untrained(path, written, form)
    size = compressed_bytes(converted)
    for file in {path, converted}:
        file.unlink()
    return size
