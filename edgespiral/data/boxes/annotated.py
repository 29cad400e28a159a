"""A picture and what is annotated in it, looked at before anything is spent on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgespiral.core.errors import DataError
from edgespiral.core.stages.decoding import upright_size
from edgespiral.core.system.files import is_file
from edgespiral.data.images import check_images

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Formats count pixels from 0 or from 1, and round: a box may reach so far beyond the picture.
SLACK_PIXELS = 1.0


@dataclass(frozen=True)
class Annotated:
    """A picture's objects, as its annotations have them.

    Attributes:
        picture: the file.
        source: the annotations' file, and the place in it where it is about several pictures.
        labels: a class for each object, (n,).
        boxes: corners x0, y0, x1, y1 of each object, (n, 4), in pixels or shares of the picture.
        in_shares: boxes are shares, from 0 to 1.
        size: width and height that the annotations say the picture has, in pixels.
    """

    picture: Path
    source: str
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    in_shares: bool = False
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Boxed:
    """A picture and its sound boxes, as shares of its width and height.

    Attributes:
        picture: the file.
        labels: a class for each box, (n,).
        boxes: corners x0, y0, x1, y1, (n, 4).
        faulty: how many boxes are left out since they are not sound.
        repeated: how many are left out since another has the same class and corners.
        is_upright: the boxes are on the picture as viewers show it, not as it is stored.
    """

    picture: Path
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    faulty: int = 0
    repeated: int = 0
    is_upright: bool = True


@dataclass(frozen=True)
class _Fault:
    where: str
    what: str


@dataclass(frozen=True)
class _Size:
    """Width and height in pixels that boxes are on, and whether these are those as shown."""

    pixels: tuple[int, int]
    is_upright: bool


def boxed(
    annotated: Sequence[Annotated], classes: Sequence[str], *, drops_faulty: bool
) -> list[Boxed]:
    """The pictures with their boxes, without faulty ones.

    Raises:
        DataError: a picture is missing or damaged or of another size than its annotations say; or,
            unless these are dropped, a box has no area or reaches outside of its picture.
    """
    missing = [boxed_picture for boxed_picture in annotated if not is_file(boxed_picture.picture)]
    if missing:
        more = f" (and {len(missing) - 1} more like it)" if len(missing) > 1 else ""
        raise DataError(
            f"its picture {missing[0].picture} is missing{more}", where=missing[0].source
        )
    check_images(boxed_picture.picture for boxed_picture in annotated)
    with ThreadPoolExecutor() as threads:
        sizes = list(threads.map(_size, annotated))
    pairs = [
        _sound(boxed_picture, size, classes)
        for boxed_picture, size in zip(annotated, sizes, strict=True)
    ]
    faults = [fault for _, faults_there in pairs for fault in faults_there]
    if faults and not drops_faulty:
        more = f" (and {len(faults) - 1} more faulty boxes)" if len(faults) > 1 else ""
        raise DataError(
            f"{faults[0].what}{more}",
            where=faults[0].where,
            hint="mend it, or leave such boxes out with ?faulty=drop",
        )
    return [picture for picture, _ in pairs]


def _size(annotated: Annotated) -> _Size:
    """The one of a picture's two sizes that its annotations say; if they say none, as it is shown.

    What the size does not tell, as of a square, is taken as stored: whoever writes sizes down has
    them from a reader of files, which turns none.
    """
    with Image.open(annotated.picture) as image:
        stored, shown = image.size, upright_size(image)
    declared = annotated.size
    if declared is None or not all(declared):
        return _Size(shown, is_upright=True)
    if declared not in (stored, shown):
        raise DataError(
            f"its boxes are on a picture of {declared[0]} x {declared[1]} pixels, and "
            f"{annotated.picture.name} has {stored[0]} x {stored[1]}",
            where=annotated.source,
        )
    return _Size(declared, is_upright=declared != stored)


def _sound(annotated: Annotated, size: _Size, classes: Sequence[str]) -> tuple[Boxed, list[_Fault]]:
    """The boxes without faulty and repeated ones, and what is wrong with the faulty."""
    edges = np.array([*size.pixels, *size.pixels], np.float64)
    pixels = annotated.boxes.reshape(-1, 4) * (edges if annotated.in_shares else 1.0)
    shares = np.clip(pixels, 0, edges) / edges
    faults, is_sound = [], np.ones(len(pixels), bool)
    for at, (box, inside) in enumerate(zip(pixels, shares, strict=True)):
        problem = _problem(box, inside, size.pixels)
        if problem:
            name = classes[annotated.labels[at]]
            corners = ", ".join(f"{value:g}" for value in box.round(2))
            what = f"box {at + 1} ({name}: {corners}) {problem}"
            faults.append(_Fault(annotated.source, what))
            is_sound[at] = False
    kept = _first_of_each(annotated.labels, shares, np.flatnonzero(is_sound))
    return (
        Boxed(
            annotated.picture,
            annotated.labels[kept],
            shares[kept],
            faulty=len(faults),
            repeated=int(is_sound.sum()) - len(kept),
            is_upright=size.is_upright,
        ),
        faults,
    )


def _first_of_each(
    labels: NDArray[np.int64], boxes: NDArray[np.float64], places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Of `places`, those whose class and corners are not those of one before."""
    rows = np.column_stack([labels, boxes])[places]
    _, first = np.unique(rows, axis=0, return_index=True)
    return places[np.sort(first)]


def _problem(
    box: NDArray[np.float64], inside: NDArray[np.float64], size: tuple[int, int]
) -> str | None:
    """What is wrong with corners in pixels, of which `inside` is what the picture has."""
    if not np.isfinite(box).all():
        return "is not finite"
    if box[2] <= box[0] or box[3] <= box[1]:
        return "has no area: its corners are x0, y0, x1, y1"
    beyond = max(-box.min(), box[2] - size[0], box[3] - size[1])
    if beyond > SLACK_PIXELS or inside[2] <= inside[0] or inside[3] <= inside[1]:
        return f"reaches outside of its picture of {size[0]} x {size[1]} pixels"
    return None
