"""Image files looked at before anything is spent on them."""

from __future__ import annotations

import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from statistics import median_high
from typing import TYPE_CHECKING

from PIL import Image

from edgespiral.core.errors import DataError
from edgespiral.core.stages.decoding import upright_size
from edgespiral.core.text import described

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# Pillow's own limit, above which it warns: a decoded picture takes three bytes a pixel and more.
MOST_PIXELS = 89_478_485
# Of the side that pictures are resized to: a batch of 32 float32 ones has 6 GB.
MOST_SIDE = 4096
# Pictures that tell how large most are, and sides that suit every network of ours.
SIZED_PICTURES, SIDE_STEP = 64, 8
# Of the network's input, the share up to which it is said that pictures are small.
SMALL_SHARE = 0.75
# Kinds of values that may reach from anywhere to anywhere; whole numbers of 32 bits are another,
# but of formats that have no more than 16.
NO_RANGE = ("F", "LAB")
RANGELESS = {"PNG": NO_RANGE, "PPM": NO_RANGE}


def check_images(paths: Iterable[Path], *, are_shown: bool = True) -> None:
    """Look at the head of every file, and at its check sums where its format has some.

    Args:
        paths: of the files.
        are_shown: they are pictures, whose values have to have a known range; masks are none.

    Raises:
        DataError: one is no image, too large a one, or a picture whose values have no known range;
            how many others there are is told.
    """
    files = sorted(paths)
    with warnings.catch_warnings(), ThreadPoolExecutor() as threads:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        problems = zip(files, threads.map(_problem, files, repeat(are_shown)), strict=True)
        bad = [(path, problem) for path, problem in problems if problem is not None]
    if bad:
        path, problem = bad[0]
        more = f" (and {len(bad) - 1} more files like it)" if len(bad) > 1 else ""
        raise DataError(f"{problem}{more}", where=str(path), hint="mend it or take it away")


def small_pictures(paths: Sequence[Path], size: tuple[int, int], *, square: bool) -> list[str]:
    """A line where most pictures are far smaller than what they are scaled up to; else nothing.

    Args:
        paths: of pictures that were looked at already, of which up to 64 are taken.
        size: width and height that the network sees unless something else is asked for.
        square: whether the size to ask for has one side.
    """
    heads = paths[:: max(1, len(paths) // SIZED_PICTURES)][:SIZED_PICTURES]
    sizes = [_size_of(path) for path in heads]
    if not sizes:
        return []
    width, height = (median_high(sides) for sides in zip(*sizes, strict=True))
    if max(width / size[0], height / size[1]) > SMALL_SHARE:
        return []
    sides = [-(-side // SIDE_STEP) * SIDE_STEP for side in (width, height)]
    own = f"{max(sides)}" if square else "x".join(map(str, sides))
    return [
        f"most pictures are of about {width} x {height} pixels and are scaled up to "
        f"{size[0]} x {size[1]}: unless the model was trained so, ?size={own} behind the "
        "folder's name costs less and shows as much"
    ]


def _size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture, of which no more than the head is read."""
    with Image.open(path) as image:
        return upright_size(image)


def _problem(path: Path, is_shown: bool) -> str | None:
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            return "is not an image: no regular file"
        with Image.open(path) as image:
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                most = MOST_PIXELS / 1e6
                return f"has {pixels / 1e6:.0f} megapixels, more than {most:.0f}"
            if is_shown and image.mode in RANGELESS.get(image.format or "", ("I", *NO_RANGE)):
                return f"has values of kind {image.mode}, not of 8 or 16 bits"
            image.verify()
    except OSError as error:
        return f"is not an image: {error.strerror or described(error)}"
    except Exception as error:  # whatever damaged bytes make a decoder raise
        return f"is not an image: {described(error)}"
    return None
