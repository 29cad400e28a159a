"""Where data sets that many have are looked for, and where they are downloaded to."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError
from edgespiral.core.system.files import make_folder
from edgespiral.core.system.lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMED = "EDGESPIRAL_DATA"
# How long to wait for another command that is downloading the same files.
DOWNLOAD_S = 600


def search_folders(below: Sequence[str]) -> list[Path]:
    """The folders to look in, in order: each usual place, and the folders `below` it."""
    named = os.environ.get(NAMED)
    roots = [Path(named)] if named else []
    roots += [cache_folder(), Path("data"), Path("/usr/share/datasets")]
    return [root / folder for root in roots for folder in below]


def cache_folder() -> Path:
    """Where downloads go."""
    return Path.home() / ".cache" / "edgespiral"


@contextmanager
def downloading(name: str, mends: str) -> Iterator[Path]:
    """The folder to download into, which no other command does meanwhile.

    Raises:
        DataError: the download failed; `mends` says what else there is.
    """
    try:
        with locked(make_folder(cache_folder()), wait_s=DOWNLOAD_S):
            yield cache_folder()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} is not on this machine and could not be downloaded", hint=mends
        ) from error
