"""Where channels are compared with each other, and what one that is gone counts as there.

The maximum over channels, some of them masked by zeros, is not the maximum over those that stay.
An identity before such an operation marks the place. There the masked model gives a channel whose
gate is closed a value that the operation takes no notice of, such as minus infinity for a maximum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn

ATTRIBUTE = "absent_channel"


class Absent(NamedTuple):
    """What a channel that is gone counts as, and the dimension that channels lie on, from 0."""

    value: float
    dim: int


def mark(layer: nn.Module, absent: Absent) -> None:
    """Have the masked model put `absent.value` in place of closed channels behind `layer`."""
    setattr(layer, ATTRIBUTE, absent)


def mark_of(layer: nn.Module | None) -> Absent | None:
    """The mark of a layer that has one."""
    return getattr(layer, ATTRIBUTE, None)
