"""Files of annotations read, and what is wrong with them said with their place."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError, first_few
from edgespiral.core.system.files import read_text
from edgespiral.core.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PICTURE_FORMS = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm"),
)


def lines_of(file: Path) -> Iterator[tuple[str, str]]:
    """(`FILE:NUMBER`, line) of each line of a text file that is not empty.

    Raises:
        DataError: it cannot be read.
    """
    with user_code(DataError, "cannot be read", where=str(file)):
        lines = read_text(file).splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{file}:{number}", line.strip()


def pictures_in(folder: Path) -> dict[str, Path]:
    """Every picture of a folder by its name without the ending, sorted; no folder has none.

    Raises:
        DataError: two differ in their endings alone, so that a name is that of both.
    """
    if not folder.is_dir():
        return {}
    pictures: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in PICTURE_FORMS:
            other = pictures.setdefault(file.stem, file)
            if other is not file:
                hint = "give each picture a name of its own"
                raise DataError(f"is called as {other.name} is", where=str(file), hint=hint)
    return pictures


def first_folder(*folders: Path) -> Path | None:
    """The first that is there."""
    return next((folder for folder in folders if folder.is_dir()), None)


def unknown_class(name: str, classes: Sequence[str], where: str) -> DataError:
    """The error for an object of a class that there is not."""
    near = difflib.get_close_matches(name, classes, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the classes are {first_few(list(classes))}"
    return DataError(f"unknown class {name!r}", where=where, hint=hint)
