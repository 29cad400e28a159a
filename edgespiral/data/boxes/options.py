"""What may follow a folder of pictures with boxes: `PATH?size=160x120&faulty=drop`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.batches import Normalisation
from edgespiral.core.errors import DataError
from edgespiral.core.text import is_whole
from edgespiral.data.argument import Argument
from edgespiral.data.images import MOST_SIDE
from edgespiral.data.sources.folder import MEAN, STD

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_SIZE = 128
LEAST_SIDE = 8


@dataclass(frozen=True)
class BoxOptions:
    """How pictures with boxes are read.

    Attributes:
        root: the folder.
        size: width and height that every picture is resized to, in pixels.
        normalisation: what is done to values from 0 to 1.
        drops_faulty: boxes of no area or outside of their picture are left out, not refused.
        mirrors: random views may be mirror images.
        is_sized: the size was asked for.
    """

    root: Path
    size: tuple[int, int]
    normalisation: Normalisation
    drops_faulty: bool
    mirrors: bool
    is_sized: bool = True


def parsed(kind: str, argument: str) -> BoxOptions:
    """The options in what follows `voc:`, `coco:` or `yolo:`.

    Args:
        kind: which of these, for messages.
        argument: `PATH`, or `PATH?size=160&mean=0.5&std=0.5&faulty=drop&mirror=no`.

    Raises:
        UsageError: an option, or a choice, that there is not.
        DataError: one has no such value, or there is no such folder.
    """
    spec = Argument(kind, argument, ["size", "mean", "std", "faulty", "mirror"])
    if not spec.path.is_dir():
        raise DataError("no such folder", where=str(spec.path))
    return BoxOptions(
        root=spec.path,
        size=_size(spec),
        normalisation=Normalisation(
            mean=_per_channel(spec, "mean", MEAN), std=_per_channel(spec, "std", STD)
        ),
        drops_faulty=spec.one_of("faulty", ("refuse", "drop")) == "drop",
        mirrors=spec.one_of("mirror", ("yes", "no")) == "yes",
        is_sized="size" in spec.options,
    )


def _size(spec: Argument) -> tuple[int, int]:
    """Width and height of `160` or `160x120`."""
    text = spec.options.get("size", str(DEFAULT_SIZE))
    sides = text.split("x")
    if len(sides) > 2 or not all(is_whole(side, LEAST_SIDE, MOST_SIDE) for side in sides):
        raise DataError(
            f"size is pixels from {LEAST_SIDE} to {MOST_SIDE}, as 160 or 160x120 (width x height), "
            f"not {text[:20]!r}",
            where=spec.where,
        )
    return int(sides[0]), int(sides[-1])


def _per_channel(spec: Argument, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """Three numbers, of which a single one stands for all."""
    text = spec.options.get(name)
    if text is None:
        return default
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        values = []
    bad = any(not -1e6 < value < 1e6 or (name == "std" and value <= 0) for value in values)
    if len(values) not in (1, 3) or bad:
        what = f"{name} is one number or three, with commas, not {text!r}"
        raise DataError(what, where=spec.where)
    return tuple(values * 3 if len(values) == 1 else values)
