"""Weight pruning in the spiral: the zeros of each turn's student, and what they came to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import ExportError, first_few
from edgespiral.core.records.exported import WeightSparsity
from edgespiral.distill.masks import apply_masks
from edgespiral.distill.trainer import recalibrate_batchnorm
from edgespiral.export.onnx import export_onnx
from edgespiral.export.precision import convert_untrained
from edgespiral.export.zeros import compressed_bytes, read_zeros
from edgespiral.models.saved import load_model
from edgespiral.prune.sparsity import GROUP, check_thinnable, left_dense, masks_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.schema import Precision
    from edgespiral.spiral.context import RunContext
    from edgespiral.spiral.plan import Plan
    from edgespiral.spiral.student.kernels import Kernels


def planned_multiple(plan: Plan, channel_multiple: int) -> int:
    """The step of widths: with 2:4, one that also leaves whole groups of four input channels."""
    return math.lcm(channel_multiple, GROUP) if plan.sparsity == "2:4" else channel_multiple


def announce(
    plan: Plan, teacher: nn.Module, kernels: Mapping[str, Kernels], listener: Listener
) -> None:
    """Say before any training what the plan's sparsity will not do on the targets of `kernels`.

    Raises:
        ModelError: no layer of the teacher can have it.
    """
    if plan.sparsity == "none":
        return
    check_thinnable(teacher, plan.sparsity)
    dense = [f"{name} ({why})" for name, why in left_dense(teacher, plan.sparsity).items()]
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
    plan: Plan, model: nn.Module, train: BatchSource, *, batches: int, seed: int
) -> dict[str, Tensor]:
    """Set the weights that the plan prunes to zero, in place, and return the masks to keep.

    A function of the model, the plan and the seed alone, so a resumed turn has the same masks.

    Raises:
        ModelError: no layer can have the sparsity asked for.
    """
    masks = masks_for(model, plan.sparsity)
    if masks:
        apply_masks(model, masks)
        recalibrate_batchnorm(model, train, batches=batches, seed=seed)
    return masks


def sparsity_of(
    context: RunContext,
    onnx: Path,
    student: nn.Module,
    masks: Mapping[str, Tensor],
    *,
    folder: Path,
    precision: Precision,
) -> WeightSparsity | None:
    """What weight pruning left in the student's file `onnx`; None where the plan asks for none.

    Args:
        folder: of the turn, which has the cut model.

    Raises:
        ExportError: the file has fewer zeros than the student.
    """
    asked = context.plan.sparsity
    if asked == "none":
        return None
    layers = read_zeros(onnx)
    meant = sum(int((~mask).sum()) for mask in masks.values())
    found = sum(layer.zeros for layer in layers)
    if found < meant:
        raise ExportError(f"has {found} zeros, the student {meant}", where=str(onnx))
    return WeightSparsity(
        asked=asked,
        layers=layers,
        left_dense=left_dense(student, asked),
        kernels=context.sparse_kernels,
        compressed_bytes=compressed_bytes(onnx),
        dense_compressed_bytes=_dense_bytes(context, folder, precision),
    )


def _dense_bytes(context: RunContext, folder: Path, precision: Precision) -> int:
    """Compressed size of the same cut before its weights were pruned, in the same precision."""
    path = folder / "dense.onnx"
    splits, precisions = context.splits, context.precisions
    model = load_model(folder / "cut")
    export_onnx(model, path, example=first_inputs(splits, 1))
    converted = convert_untrained(path, precisions.written(precision), precisions.form)
    size = compressed_bytes(converted)
    for made in {path, converted}:
        made.unlink()
    return size
