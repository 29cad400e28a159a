"""What may follow a folder of pictures with boxes: `PATH?size=160x120&faulty=drop`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from edgespiral.core.batches import Normalisation
from edgespiral.core.errors import DataError, unknown_name
from edgespiral.data.sources.folder import MEAN, STD

DEFAULT_SIZE = 128
LEAST_SIDE = 8
CHOICES = {"faulty": ("refuse", "drop"), "mirror": ("yes", "no")}


@dataclass(frozen=True)
class BoxOptions:
    """How pictures with boxes are read.

    Attributes:
        root: the folder.
        size: width and height that every picture is resized to, in pixels.
        normalisation: what is done to values from 0 to 1.
        drops_faulty: boxes of no area or outside of their picture are left out, not refused.
        mirrors: random views may be mirror images.
    """

    root: Path
    size: tuple[int, int]
    normalisation: Normalisation
    drops_faulty: bool
    mirrors: bool


def parsed(kind: str, argument: str) -> BoxOptions:
    """The options in what follows `voc:`, `coco:` or `yolo:`.

    Args:
        kind: which of these, for messages.
        argument: `PATH`, or `PATH?size=160&mean=0.5&std=0.5&faulty=drop&mirror=no`.

    Raises:
        UsageError: an option that there is not.
        DataError: one has no such value, or there is no such folder.
    """
    path, _, query = argument.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    where = f"{kind}:{argument}"
    allowed = ["size", "mean", "std", *CHOICES]
    for name, value in options.items():
        if name not in allowed:
            raise unknown_name(f"{kind} option", name, allowed)
        if name in CHOICES and value not in CHOICES[name]:
            raise DataError(f"{name} is {' or '.join(CHOICES[name])}, not {value!r}", where=where)
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError("no such folder", where=str(root))
    return BoxOptions(
        root=root,
        size=_size(options.get("size", str(DEFAULT_SIZE)), where),
        normalisation=Normalisation(
            mean=_per_channel(options.get("mean"), MEAN, "mean", where),
            std=_per_channel(options.get("std"), STD, "std", where),
        ),
        drops_faulty=options.get("faulty") == "drop",
        mirrors=options.get("mirror") != "no",
    )


def _size(text: str, where: str) -> tuple[int, int]:
    """Width and height of `160` or `160x120`."""
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) >= LEAST_SIDE for side in sides):
        raise DataError(
            f"size is pixels from {LEAST_SIDE} up, as 160 or 160x120 (width x height), not "
            f"{text!r}",
            where=where,
        )
    return int(sides[0]), int(sides[-1])


def _per_channel(
    text: str | None, default: tuple[float, ...], name: str, where: str
) -> tuple[float, ...]:
    """Three numbers, of which a single one stands for all."""
    if text is None:
        return default
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        values = []
    bad = any(not -1e6 < value < 1e6 or (name == "std" and value <= 0) for value in values)
    if len(values) not in (1, 3) or bad:
        raise DataError(f"{name} is one number or three, with commas, not {text!r}", where=where)
    return tuple(values * 3 if len(values) == 1 else values)
