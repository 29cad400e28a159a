"""How near outputs are to those expected, each of several by its own size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.nested import leaves
from edgespiral.core.records.exported import OutputParity, Parity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Task

    Values = NDArray[np.float32] | NDArray[np.int64]


@dataclass(frozen=True)
class ParityLimits:
    """What an export may differ by.

    Attributes:
        largest_share: largest difference, as a share of the largest output; None: any.
        least_sqnr_db: of the outputs' squares to those of the differences; None: any.
        least_agreement: share of decisions, from 0 to 1, that are the same.
    """

    largest_share: float | None = None
    least_sqnr_db: float | None = None
    least_agreement: float = 0.0


def compared(expected: Tensors, outputs: Tensors, task: Task) -> Parity:
    """How near finite outputs are to those expected: both (n, ...).

    Of several outputs the figures are those of the one that is furthest from what is expected of
    it, beside its own size.
    """
    agreement = float(task.agreement(outputs, expected).double().mean())
    pairs = zip(leaves(expected).values(), leaves(outputs).values(), strict=True)
    each = [_compared(leaf, other, agreement) for leaf, other in pairs]
    return min(each, key=_nearness)


def output_parity(expected: Tensors, outputs: Tensors) -> OutputParity:
    """How near the output is that is furthest from what is expected of it: all (n, ...).

    As `compared`, without a task to say what of them is a decision.
    """
    pairs = zip(leaves(expected).items(), leaves(outputs).values(), strict=True)
    each = [(_compared(leaf, other, 1.0), name) for (name, leaf), other in pairs]
    furthest, name = min(each, key=lambda pair: _nearness(pair[0]))
    return OutputParity(output=name, **furthest.model_dump(exclude={"agreement"}))


def _compared(expected: Tensor, outputs: Tensor, agreement: float) -> Parity:
    right, found = _array(expected), _array(outputs)
    gaps = np.abs(right - found)
    if right.dtype == found.dtype == np.int64:
        # What is no number of float32's, as of an id, is another all the same; a gap may be longer
        # than an integer is.
        gaps = np.where(right == found, 0.0, np.maximum(np.abs(gaps.astype(np.float64)), 1.0))
    noise = float(np.square(gaps, dtype=np.float64).sum())
    signal = float(np.square(right, dtype=np.float64).sum())
    return Parity(
        samples=len(right),
        max_abs_difference=float(gaps.max(initial=0.0)),
        agreement=agreement,
        sqnr_db=10 * math.log10(signal / noise) if noise and signal else None,
    )


def _nearness(parity: Parity) -> float:
    if parity.sqnr_db is not None:
        return parity.sqnr_db
    return -math.inf if parity.max_abs_difference else math.inf


def _array(leaf: Tensor) -> Values:
    values = leaf.detach().cpu()
    return (values.float() if values.is_floating_point() else values.long()).numpy()


def differing(
    limits: ParityLimits, expected: Tensors, outputs: Tensors, parity: Parity
) -> str | None:
    """Which limit the first output does not keep that keeps not all, by its own size; else None.

    Args:
        expected, found: outputs (n, ...) of one form.
        parity: of them, for the decisions that agree.
    """
    found = first_beyond(limits, expected, outputs, parity.agreement)
    if found is None:
        return None
    name, problem = found
    return f"output {name}: {problem}" if name else problem


def first_beyond(
    limits: ParityLimits, expected: Tensors, outputs: Tensors, agreement: float = 1.0
) -> tuple[str, str] | None:
    """The name of the first output that does not keep a limit, and which; as `differing`."""
    pairs = zip(leaves(expected).items(), leaves(outputs).values(), strict=True)
    for (name, leaf), other in pairs:
        largest = float(np.abs(_array(leaf)).max(initial=0.0))
        problem = beyond(limits, _compared(leaf, other, agreement), largest)
        if problem:
            return name, problem
    return None


def beyond(limits: ParityLimits, parity: Parity, largest: float) -> str | None:
    """Which of `limits` is not kept, None where all are; `largest` is that of what was expected."""
    if limits.largest_share is not None:
        allowed = limits.largest_share * largest
        if parity.max_abs_difference > allowed:
            return f"{allowed:.2g} is allowed"
    least = limits.least_sqnr_db
    if least is not None and parity.sqnr_db is None and parity.max_abs_difference > 0:
        return "all of its outputs should be 0"
    if least is not None and parity.sqnr_db is not None and parity.sqnr_db < least:
        return f"the error is {parity.sqnr_db:.1f} dB below the output, {least:g} dB are needed"
    if parity.agreement < limits.least_agreement:
        return f"{limits.least_agreement:.0%} are needed"
    return None
