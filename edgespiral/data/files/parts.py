"""The three parts of a folder that has them ready, some of them, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from edgespiral.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

VALIDATION_PART = 0.1
TEST_PART = 0.15
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
