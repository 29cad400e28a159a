"""Pictures decoded once and kept, so that no later pass over them decodes them again."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from edgespiral.core.errors import EdgeSpiralError
from edgespiral.core.system.files import make_folder, user_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

MOST_IN_MEMORY_BYTES = 2**28
MOST_ON_DISK_BYTES = 2**33
# Where a picture lies; of store 0 is what is not kept.
PLACE = np.dtype([("store", np.int8), ("offset", np.int64), ("shape", np.int32, (3,))])


class DecodedPictures:
    """Pictures as bytes (H, W, C), each decoded when it is first asked for.

    The processes that load batches share what one of them has decoded. Kept is what fits: 256 MiB
    in memory, and what is more in a file of the user's cache that has no name, so that it is gone
    with the last process; at most 8 GiB, and half of what was free there. The others are decoded
    each time. A copy, as a process has one that is not forked, keeps nothing.

    Args:
        count: of pictures.
        decode: the picture of a number from 0, (H, W, C).
        bytes_each: how large pictures are about, which decides whether the file is made.

    Example:
        >>> pictures = DecodedPictures(2, lambda at: np.full((1, 1, 3), at, np.uint8), 3)
        >>> pictures[1].tolist(), pictures[1].tolist()
        ([[[1, 1, 1]]], [[[1, 1, 1]]])
    """

    def __init__(
        self, count: int, decode: Callable[[int], NDArray[np.uint8]], bytes_each: int
    ) -> None:
        self._count, self._decode = count, decode
        self._places = _shared(count * PLACE.itemsize).view(PLACE)
        self._stores = [_Store(_shared(MOST_IN_MEMORY_BYTES))]
        if count * bytes_each > MOST_IN_MEMORY_BYTES:
            self._stores += _stores_on_disk()
        # Whoever loads batches is forked, and has this very lock.
        self._lock = multiprocessing.get_context("fork").Lock()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if not self._stores:
            return self._decode(index)
        place = self._places[index : index + 1]
        if not place["store"][0]:
            return self._decoded(index, place)
        store = self._stores[int(place["store"][0]) - 1]
        shape, begin = tuple(place["shape"][0].tolist()), int(place["offset"][0])
        return store.content[begin : begin + int(np.prod(shape))].reshape(shape).copy()

    def __getstate__(self) -> dict[str, Any]:
        return {"_count": self._count, "_decode": self._decode, "_stores": []}

    def _decoded(self, index: int, place: NDArray[np.void]) -> NDArray[np.uint8]:
        picture = self._decode(index)
        for number, store in enumerate(self._stores, 1):
            with self._lock:
                begin = store.take(picture.nbytes)
            if begin is not None:
                store.content[begin : begin + picture.nbytes] = picture.reshape(-1)
                place["offset"], place["shape"] = begin, picture.shape
                # Last, since it says that the others are there.
                place["store"] = number
                break
        return picture


class _Store:
    """Bytes that are given away from the first on, in several processes."""

    def __init__(self, content: NDArray[np.uint8], descriptor: int | None = None) -> None:
        self.content, self._descriptor = content, descriptor
        self._used = _shared(8).view(np.int64)

    def take(self, count: int) -> int | None:
        """Where so many bytes begin that nobody else has; None if there are none."""
        begin = int(self._used[0])
        if begin + count > len(self.content):
            return None
        if self._descriptor is not None:
            try:
                # A write to a page that a full disk has no place for would end the process.
                os.posix_fallocate(self._descriptor, begin, count)
            except OSError:
                return None
        self._used[0] = begin + count
        return begin


def _shared(count: int) -> NDArray[np.uint8]:
    """Zeros that forked processes share; they take memory as they are written to."""
    return np.frombuffer(mmap.mmap(-1, max(1, count)), np.uint8)[:count]


def _stores_on_disk() -> Sequence[_Store]:
    """One, or none where the cache cannot be written to."""
    if not hasattr(os, "posix_fallocate"):
        return ()
    try:
        folder = make_folder(user_cache("pictures"))
        size = min(MOST_ON_DISK_BYTES, shutil.disk_usage(folder).free // 2)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(size)
            mapped = mmap.mmap(file.fileno(), size)
            return (_Store(np.frombuffer(mapped, np.uint8), os.dup(file.fileno())),)
    except (OSError, ValueError, EdgeSpiralError):
        return ()
