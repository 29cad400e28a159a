"""Splits of pictures with boxes in the format of YOLO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import DataError
from edgespiral.data.boxes.annotated import Annotated
from edgespiral.data.boxes.files import first_folder, lines_of, pictures_in
from edgespiral.data.boxes.options import parsed
from edgespiral.data.boxes.splits import NAMES, TRAIN, box_splits
from edgespiral.data.sources.yolo.described import described_in, names_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgespiral.core.batches import DataSplits

CLASSES = "classes.txt"
LINE = "a line is: class x-centre y-centre width height, the last four from 0 to 1"


def load_yolo(argument: str) -> DataSplits:
    """`yolo:PATH` or `yolo:PATH?size=160x120`: pictures and boxes scaled to that width and height.

    PATH has a `data.yaml` with `names` and where `train`, `val` and `test` are, or a `classes.txt`
    and these in their usual places: pictures in `images/train` or `train/images`, labels likewise
    in `labels`. A line is a class's number, and centre, width and height of a box as shares of the
    picture. A picture without a file of labels has no object.

    Raises:
        UsageError, DataError: as `parsed` and `box_splits`, or a file is not as described.
    """
    options = parsed("yolo", argument)
    root = options.root
    file = next(
        (root / name for name in ("data.yaml", "data.yml") if (root / name).is_file()), None
    )
    described = {} if file is None else described_in(file)
    classes = names_in(described, file) if file is not None else _listed(root)
    folders = _folders(root, described, file)
    parts = {part: _annotated(folder, classes) for part, folder in folders.items()}
    return box_splits(f"yolo:{root}", parts, classes, options)


def _listed(root: Path) -> list[str]:
    if not (root / CLASSES).is_file():
        raise DataError(f"has neither data.yaml nor {CLASSES}", where=str(root))
    return [line for _, line in lines_of(root / CLASSES)]


def _folders(root: Path, described: Mapping[str, object], file: Path | None) -> dict[str, Path]:
    """The folder of each part's pictures."""
    folders = {}
    names_some = any(described.get(name) for usual in NAMES.values() for name in usual)
    for part, usual in NAMES.items():
        entry = next((described[name] for name in usual if described.get(name)), None)
        if entry is not None:
            folders[part] = _told(root, described, entry, f"{file}: {part}")
        elif not names_some:
            places = [(root / "images" / name, root / name / "images") for name in usual]
            folder = first_folder(*(place for pair in places for place in pair))
            if folder is not None:
                folders[part] = folder
    if not folders and (root / "images").is_dir():
        folders = {TRAIN: root / "images"}
    if TRAIN not in folders:
        raise DataError("no folder of training pictures", where=str(root))
    return folders


def _told(root: Path, described: Mapping[str, object], entry: object, where: str) -> Path:
    """The folder that `data.yaml` names, as ultralytics' own reader finds it."""
    path = described.get("path") or ""
    if not isinstance(entry, str) or not isinstance(path, str):
        kind = type(path if isinstance(entry, str) else entry).__name__
        raise DataError(f"is a {kind}, not the name of a folder", where=where)
    base = root / path
    # Exports often say `../train/images` of what lies beside the file.
    named = [base / entry, root / entry, root / entry.removeprefix("../")]
    folder = first_folder(*named)
    if folder is None:
        raise DataError(f"no such folder: {entry}", where=where)
    return folder


def _annotated(pictures: Path, classes: Sequence[str]) -> list[Annotated]:
    labels = _labels_of(pictures)
    pictures_there = pictures_in(pictures)
    strays = sorted({file.stem for file in labels.glob("*.txt")} - {*pictures_there, "classes"})
    if strays:
        raise DataError(
            f"its picture is missing in {pictures}", where=str(labels / f"{strays[0]}.txt")
        )
    return [
        _of_picture(picture, labels / f"{name}.txt", classes)
        for name, picture in pictures_there.items()
    ]


def _labels_of(pictures: Path) -> Path:
    """Where the labels lie: `images` in the path is `labels`, from the last such folder on."""
    names = list(pictures.parts)
    if "images" not in names:
        return pictures
    at = len(names) - 1 - names[::-1].index("images")
    labels = Path(*names[:at], "labels", *names[at + 1 :])
    if not labels.is_dir():
        raise DataError("no such folder, in which the labels should be", where=str(labels))
    return labels


def _of_picture(picture: Path, file: Path, classes: Sequence[str]) -> Annotated:
    rows = [_row(line, where, classes) for where, line in lines_of(file)] if file.is_file() else []
    numbers = np.array(rows, np.float64).reshape(-1, 5)
    centre, half = numbers[:, 1:3], numbers[:, 3:] / 2
    return Annotated(
        picture=picture,
        source=str(file),
        labels=numbers[:, 0].astype(np.int64),
        boxes=np.concatenate([centre - half, centre + half], axis=1),
        in_shares=True,
    )


def _row(line: str, where: str, classes: Sequence[str]) -> list[float]:
    words = line.split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != 5 or not words[0].isdecimal() or not np.isfinite(numbers).all():
        what = "is an outline, not a box" if len(numbers) > 5 else f"is not a box: {line[:60]!r}"
        raise DataError(what, where=where, hint=LINE)
    if int(numbers[0]) >= len(classes):
        raise DataError(f"unknown class {words[0]}: there are {len(classes)}", where=where)
    if any(not -1 <= number <= 2 for number in numbers[1:]):
        raise DataError(f"{line!r} is in pixels, not in shares", where=where, hint=LINE)
    return numbers
