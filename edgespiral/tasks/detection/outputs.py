"""What a dense detector returns, and the rows of targets, in torchvision's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from edgespiral.core.nested import Tensors

LOGITS, BOXES, CENTRENESS = NAMES = ("cls_logits", "bbox_regression", "bbox_ctrness")
Outputs = dict[str, Tensor]
Objects = dict[str, Tensor]


def by_name(outputs: Tensors | object) -> Outputs | None:
    """Outputs by torchvision's names in float32; None where they are of another form.

    Args:
        outputs: a mapping of `cls_logits` (N, A, C), `bbox_regression` (N, A, 4) and where there is
            one `bbox_ctrness` (N, A, 1), or a tuple of them in this order.
    """
    if isinstance(outputs, Mapping):
        named = dict(outputs)
    elif isinstance(outputs, Sequence) and 2 <= len(outputs) <= len(NAMES):
        named = dict(zip(NAMES, outputs, strict=False))
    else:
        return None
    is_complete = {LOGITS, BOXES} <= named.keys() <= set(NAMES)
    if not is_complete or not all(isinstance(part, Tensor) for part in named.values()):
        return None
    return {name: part.float() for name, part in named.items()}


def one_sample(outputs: Outputs, at: int) -> Outputs:
    """The outputs of one sample, as a batch."""
    return {name: part[at : at + 1] for name, part in outputs.items()}


def objects_of(targets: Tensor, offset: int = 0) -> list[Objects]:
    """The objects of each image: `labels` (n,), int64, and `boxes` (n, 4).

    Args:
        targets: (N, rows, 5), see `data.boxes.pictures.packed`.
        offset: what is added to labels, 1 where column 0 of the logits is the background.
    """
    there = targets[..., 0] >= 0
    return [
        {"labels": rows[mask, 0].long() + offset, "boxes": rows[mask, 1:].float()}
        for rows, mask in zip(targets, there, strict=True)
    ]
