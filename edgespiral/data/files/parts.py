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

    With the subfolders train, val (or validation) and test, these are the splits. With train and
    one other, the other is the test and a tenth of train is held out for validation. With
    neither, 15 % of the samples are the test and a tenth of the rest the validation.

    Args:
        root: the folder.
        below: reads the samples of a folder.

    Raises:
        DataError: there is a train folder alone, or the splits have different classes.
    """
    if not (root / "train").is_dir():
        rest, test = below(root).split(TEST_PART)
        return (*rest.split(VALIDATION_PART), test)
    train = below(root / "train")
    folders = [name for name in (*VALIDATION_NAMES, "test") if (root / name).is_dir()]
    if not folders:
        raise DataError("there is a train folder but no val or test", where=str(root))
    others = [below(root / name) for name in (folders[0], folders[-1])]
    for name, part in zip((folders[0], folders[-1]), others, strict=True):
        if list(part.classes) != list(train.classes):
            raise DataError("its classes are not those of train", where=str(root / name))
    if len(folders) == 1:
        return (*train.split(VALIDATION_PART), others[0])
    return train, others[0], others[1]
