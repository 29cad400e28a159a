"""What a target can do with zeros among weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from edgespiral.core.records.schema import Precision, Sparsity
    from edgespiral.measure.profile import TargetProfile

Kernels = Literal["none", "off", "on"]
# From the least that a target can do with zeros to the most.
KERNELS = get_args(Kernels)


def sparse_kernels(
    sparsity: Sparsity, precision: Precision | Literal["auto"] | None, profile: TargetProfile
) -> Kernels:
    """What the target can do with the zeros that are asked for.

    There are kernels for 2:4 alone, and in fp16 and int8 alone.

    Args:
        precision: that is asked for; None for the target's own.
    """
    kernels = profile.capabilities.sparse_kernels
    if sparsity != "2:4" or kernels == "none":
        return "none"
    is_low = (precision or profile.runtime.precision) != "fp32"
    return kernels if is_low else "off"
