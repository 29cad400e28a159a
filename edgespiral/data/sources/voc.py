"""Pictures with boxes in the format of PASCAL VOC: an XML file a picture."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import DataError
from edgespiral.core.system.files import read_bytes
from edgespiral.core.user_code import user_code
from edgespiral.data.boxes.annotated import Annotated
from edgespiral.data.boxes.files import first_folder, lines_of, pictures_in, unknown_class
from edgespiral.data.boxes.options import parsed
from edgespiral.data.boxes.splits import TRAIN, box_splits, by_part
from edgespiral.data.files.folders import holds
from edgespiral.data.sources.base import FileSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.batches import DataSplits

ROOT = "annotation"
CLASS_FILES = ("classes.txt", "labels.txt")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def load_voc(argument: str) -> DataSplits:
    """`voc:PATH` or `voc:PATH?size=160x120`: pictures and boxes scaled to that width and height.

    Below PATH lie `Annotations/NAME.xml` and `JPEGImages/NAME.jpg`, with lists of names in
    `ImageSets/Main/train.txt`, `val.txt` and `test.txt` where there are some; or the same, or both
    kinds of files side by side, below each of `train`, `val` and `test`. `classes.txt` or
    `labels.txt` has a class's name a line; without it, classes are the names that objects have.

    Raises:
        UsageError, DataError: as `parsed` and `box_splits`, or a file is not as described.
    """
    options = parsed("voc", argument)
    root = options.root
    read = {part: [_read(file, picture) for file, picture in pairs] for part, pairs in _parts(root)}
    classes = _classes(root) or sorted(
        {name for part in read.values() for described in part for name in described.names}
    )
    parts = {
        part: [described.labelled(classes) for described in content]
        for part, content in read.items()
    }
    return box_splits(f"voc:{root}", parts, classes, options)


class _Described:
    """An XML file's objects by the names of their classes."""

    def __init__(self, file: Path, picture: Path, tree: ET.Element) -> None:
        self._file, self._picture, self._tree = file, picture, tree
        self._objects = tree.findall("object")
        self.names = [self._text(element, "name") for element in self._objects]

    def labelled(self, classes: Sequence[str]) -> Annotated:
        """The objects with their labels, which are places in `classes`."""
        for name in self.names:
            if name not in classes:
                raise unknown_class(name, classes, str(self._file))
        boxes = [
            [self._number(element, f"bndbox/{corner}") for corner in CORNERS]
            for element in self._objects
        ]
        return Annotated(
            picture=self._picture,
            source=str(self._file),
            labels=np.array([classes.index(name) for name in self.names], np.int64),
            boxes=np.array(boxes, np.float64).reshape(-1, 4),
            size=self._size(),
        )

    def _size(self) -> tuple[int, int] | None:
        if self._tree.find("size") is None:
            return None
        return int(self._number(self._tree, "size/width")), int(
            self._number(self._tree, "size/height")
        )

    def _number(self, element: ET.Element, tag: str) -> float:
        text = self._text(element, tag)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise DataError(f"{tag} is {text[:40]!r}, not a number", where=str(self._file))
        return number

    def _text(self, element: ET.Element, tag: str) -> str:
        text = (element.findtext(tag) or "").strip()
        if not text:
            place = f"object {self._objects.index(element) + 1}" if element in self._objects else ""
            raise DataError(f"{place or 'it'} has no {tag}", where=str(self._file))
        return text


def _parts(root: Path) -> list[tuple[str, list[tuple[Path, Path]]]]:
    """(annotations, picture) of each picture of each part."""
    folders = by_part([folder.name for folder in root.iterdir() if folder.is_dir()])
    if TRAIN in folders:
        return [(part, _pairs(root / name, None)) for part, name in folders.items()]
    lists = root / "ImageSets" / "Main"
    named = by_part([file.stem for file in lists.glob("*.txt")]) if lists.is_dir() else {}
    if TRAIN not in named:
        return [(TRAIN, _pairs(root, None))]
    # Lists of one class have a second column.
    return [
        (part, _pairs(root, [line.split()[0] for _, line in lines_of(lists / f"{name}.txt")]))
        for part, name in named.items()
    ]


def _pairs(folder: Path, names: Sequence[str] | None) -> list[tuple[Path, Path]]:
    annotations = first_folder(folder / "Annotations", folder / "annotations") or folder
    images = first_folder(folder / "JPEGImages", folder / "images") or folder
    pictures = pictures_in(images)
    described = {file.stem: file for file in sorted(annotations.glob("*.xml"))}
    wanted = sorted({*pictures, *described}) if names is None else names
    if not wanted and names is None:
        raise DataError("no pictures with annotations", where=str(folder))
    for name in wanted:
        if name not in described:
            raise DataError(
                f"no annotations of {name}",
                where=str(annotations),
                hint="a picture without an object has a file without one",
            )
    return [(described[name], pictures.get(name, images / f"{name}.jpg")) for name in wanted]


def _read(file: Path, picture: Path) -> _Described:
    with user_code(DataError, "cannot be read", where=str(file)):
        # Expat bounds what entities may grow to.
        tree = ET.fromstring(read_bytes(file))  # noqa: S314
    if tree.tag != ROOT:
        hint = f"it begins with <{ROOT}>, also of a picture without an object"
        raise DataError(f"is no annotation, but <{tree.tag[:40]}>", where=str(file), hint=hint)
    return _Described(file, picture, tree)


def _classes(root: Path) -> list[str]:
    file = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    return [] if file is None else [line for _, line in lines_of(file)]


def _fits(folder: Path) -> bool:
    return holds(folder, (".xml",))


PLUGIN = FileSource(load_voc, task="detection", order=40, fits=_fits)
