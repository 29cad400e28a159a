"""Image files looked at before anything is spent on them."""

from __future__ import annotations

import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from PIL import Image

from edgespiral.core.errors import DataError
from edgespiral.core.text import described

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Pillow's own limit, above which it warns: a decoded picture takes three bytes a pixel and more.
MOST_PIXELS = 89_478_485
# Of the side that pictures are resized to: a batch of 32 float32 ones has 6 GB.
MOST_SIDE = 4096


def check_images(paths: Iterable[Path]) -> None:
    """Look at the head of every file, and at its check sums where its format has some.

    Raises:
        DataError: one is no image, or too large a one; how many others there are is told.
    """
    files = sorted(paths)
    with warnings.catch_warnings(), ThreadPoolExecutor() as threads:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        problems = zip(files, threads.map(_problem, files), strict=True)
        bad = [(path, problem) for path, problem in problems if problem is not None]
    if bad:
        path, problem = bad[0]
        more = f" (and {len(bad) - 1} more files like it)" if len(bad) > 1 else ""
        raise DataError(f"{problem}{more}", where=str(path), hint="mend it or take it away")


def _problem(path: Path) -> str | None:
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            return "is not an image: no regular file"
        with Image.open(path) as image:
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                most = MOST_PIXELS / 1e6
                return f"has {pixels / 1e6:.0f} megapixels, more than {most:.0f}"
            image.verify()
    except OSError as error:
        return f"is not an image: {error.strerror or described(error)}"
    except Exception as error:  # whatever damaged bytes make a decoder raise
        return f"is not an image: {described(error)}"
    return None
