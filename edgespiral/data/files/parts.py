"""The three parts of a folder that has them ready, some of them, or none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from edgespiral.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

VALIDATION_PART = 0.1
TEST_PART = 0.15
PARTS = ("train", "validation", "test")
VALIDATION_NAMES = ("validation", "val", "valid")
# What a part's folder may be called, in small letters or capitals.
FOLDER_NAMES = dict(
    zip(PARTS, (("train", "training"), VALIDATION_NAMES, ("test", "testing")), strict=True)
)


class Part(Protocol):
    """Labelled samples that may be divided further."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, sorted."""
        ...

    def split(self, fraction: float) -> tuple[Self, Self]:
        """(the rest, about `fraction` of the samples), each class in proportion."""
        ...


P = TypeVar("P", bound=Part)


def require_apart(parts: Mapping[str, Iterable[Path]], name: str, *, repeats: bool = False) -> None:
    """Refuse a file that is in two parts of a data set, by whatever links it is reached.

    Args:
        parts: the files of each, by its name.
        name: what messages call the data.
        repeats: one part may have a file several times.

    Raises:
        DataError: there is one; what was learned from it would be scored on it.
    """
    seen: dict[str, str] = {}
    for part, files in parts.items():
        for file in files:
            place = _real(file)
            other = seen.get(place)
            if other is not None and not (repeats and other == part):
                places = f"twice in {part}" if other == part else f"in {other} and in {part}"
                raise DataError(f"is {places}", where=f"{name}: {file}")
            seen[place] = part


def _real(file: Path) -> str:
    """Where a file is, whatever links lead to it; of a name that none can have, the name."""
    try:
        return os.path.realpath(file)
    except ValueError:
        return str(file)


def three_parts(root: Path, below: Callable[[Path], P]) -> tuple[P, P, P]:
    """Training, validation and test of a folder.

    With the subfolders train, val and test, these are the splits. They may be called training,
    valid or validation, and testing, too, in capitals or not. With train and one other, the other
    is the test and a tenth of train is held out for validation. With neither, 15 % of the samples
    are the test and a tenth of the rest the validation.

    Args:
        root: the folder.
        below: reads the samples of a folder.

    Raises:
        DataError: there is a train folder alone, two folders are one part, or the splits have
            different classes.
    """
    folders = _part_folders(root)
    if "train" not in folders:
        rest, test = below(root).split(TEST_PART)
        return (*rest.split(VALIDATION_PART), test)
    train = below(folders.pop("train"))
    if not folders:
        raise DataError("there is a train folder but no val or test", where=str(root))
    others = [below(folder) for folder in folders.values()]
    for folder, part in zip(folders.values(), others, strict=True):
        if list(part.classes) != list(train.classes):
            raise DataError("its classes are not those of train", where=str(folder))
    if len(others) == 1:
        return (*train.split(VALIDATION_PART), others[0])
    return train, others[0], others[1]


def _part_folders(root: Path) -> dict[str, Path]:
    """The folder of each part that has one, in the order of `PARTS`; none without train.

    Raises:
        DataError: two are of one part.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = {
        part: [path for path in folders if path.name.lower() in names]
        for part, names in FOLDER_NAMES.items()
    }
    if not found["train"]:
        return {}
    for part, of_part in found.items():
        if len(of_part) > 1:
            names = " and ".join(path.name for path in of_part)
            what = f"{names} are both folders of the {part} part"
            raise DataError(what, where=str(root), hint="leave one, or put them into one")
    return {part: of_part[0] for part, of_part in found.items() if of_part}
