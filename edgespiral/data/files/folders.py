"""What lies in a folder, by the names of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A part's folder, a class's and the file: deeper nothing is looked for.
DEEPEST = 3


def holds(folder: Path, suffixes: Iterable[str]) -> bool:
    """Whether a file of one of `suffixes` lies in the folder, or a little below it.

    Args:
        folder: which may be missing.
        suffixes: as `.png`, in small letters or capitals.
    """
    depths = ("/".join(["*"] * (depth + 1)) for depth in range(DEEPEST))
    wanted = {suffix.lower() for suffix in suffixes}
    return any(
        path.suffix.lower() in wanted and path.is_file()
        for depth in depths
        for path in folder.glob(depth)
    )
