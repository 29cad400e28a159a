"""Files packed with gzip, or not."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

from edgespiral.core.system.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".gz"
# Tables become a tenth when they are packed. What becomes a thousandth is made to fill memories: a
# row takes a hundred times the bytes that it has here.
LARGE_BYTES, MOST_TIMES = 2**26, 200


def read_packed(path: Path, most_bytes: int) -> bytes:
    """The content of a file, unpacked where its name ends in `.gz`.

    Raises:
        OSError, EOFError, zlib.error: it cannot be read or unpacked, or is too long itself.
        ValueError: it unpacks to more than `most_bytes`, or is large and repeats itself endlessly.
    """
    content = read_bytes(path, most_bytes)
    if path.suffix.lower() != SUFFIX:
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        raw = stream.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise ValueError(f"unpacks to more than {most_bytes / 1e6:.3g} MB")
    if len(raw) > max(LARGE_BYTES, MOST_TIMES * len(content)):
        raise ValueError(f"unpacks to more than {MOST_TIMES} times its own size")
    return raw
