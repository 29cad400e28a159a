"""Splits of pictures with boxes in the format of COCO."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgespiral.core.errors import DataError, first_few
from edgespiral.core.system.files import is_file
from edgespiral.data.boxes.annotated import Annotated
from edgespiral.data.boxes.options import parsed
from edgespiral.data.boxes.splits import NAMES, TRAIN, box_splits, by_part
from edgespiral.data.sources.coco.content import content_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.batches import DataSplits
    from edgespiral.data.sources.coco.content import AnnotatedObject, Content, Picture

OTHER_TASKS = re.compile("keypoints|captions")


@dataclass(frozen=True)
class _Split:
    """One split's annotations: its name as the data set has it, and the file."""

    name: str
    file: Path


def load_coco(argument: str) -> DataSplits:
    """`coco:PATH` or `coco:PATH?size=160x120`: pictures and boxes scaled to that width and height.

    Below PATH lies a JSON file for each of `train`, `val` and `test`: `annotations/*train*.json`,
    or a single one in the folder `train`; or one for all, whatever its name is.
    Pictures lie beside it, in a folder of the split's name, in `images`, or in that of the split
    below it. Objects that are crowds are left out.

    Raises:
        UsageError, DataError: as `parsed` and `box_splits`, or a file is not as described.
    """
    options = parsed("coco", argument)
    splits = _splits(options.root)
    contents = {part: content_of(split.file) for part, split in splits.items()}
    categories = _categories(contents, splits)
    parts = {
        part: _annotated(contents[part], splits[part], options.root, list(categories))
        for part in splits
    }
    return box_splits(f"coco:{options.root}", parts, list(categories.values()), options)


def _splits(root: Path) -> dict[str, _Split]:
    """The files of annotations by part."""
    folders = by_part([folder.name for folder in root.iterdir() if folder.is_dir()])
    beside = {
        part: _Split(name, _one_of(files, part))
        for part, name in folders.items()
        if (files := _of_boxes(root / name))
    }
    if TRAIN in beside:
        return beside
    files = [*_of_boxes(root / "annotations"), *_of_boxes(root)]
    matched = {
        part: {file: match[0] for file in files if (match := _name_of(usual).search(file.stem))}
        for part, usual in NAMES.items()
    }
    by_name = {
        part: _Split(names[file], file)
        for part, names in matched.items()
        if names and (file := _one_of(list(names), part))
    }
    if TRAIN in by_name:
        return by_name
    if len(files) != 1:
        what = "no annotations (*.json)" if not files else "several *.json, none of them of train"
        raise DataError(what, where=str(root))
    return {TRAIN: _Split("", files[0])}


def _of_boxes(folder: Path) -> list[Path]:
    """The folder's files of annotations, but those that COCO has of other tasks."""
    files = sorted(folder.glob("*.json"))
    return [file for file in files if not OTHER_TASKS.search(file.stem)]


def _name_of(usual: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(reversed(usual))})\d*")


def _one_of(files: Sequence[Path], part: str) -> Path:
    """The only file of a part, or the only one that is of objects."""
    of_objects = [file for file in files if file.stem.startswith("instances")]
    chosen = of_objects if len(of_objects) == 1 else files
    if len(chosen) > 1:
        names = first_few([file.name for file in files])
        raise DataError(
            f"several files have annotations of {part}: {names}",
            where=str(files[0].parent),
            hint="leave one of them, or call it instances_*.json",
        )
    return chosen[0]


def _categories(contents: Mapping[str, Content], splits: Mapping[str, _Split]) -> dict[int, str]:
    """Names by number, in the order of the numbers, the same in each file."""
    names: dict[int, str] = {}
    for part, content in contents.items():
        for category in content.categories:
            name = names.setdefault(category.id, category.name)
            if name != category.name:
                what = f"category {category.id} is {category.name!r}, and {name!r} elsewhere"
                raise DataError(what, where=str(splits[part].file))
    return dict(sorted(names.items()))


def _annotated(content: Content, split: _Split, root: Path, numbers: list[int]) -> list[Annotated]:
    ids: set[int | str] = set()
    for at, picture in enumerate(content.images):
        if picture.id in ids:
            raise DataError(f"has the id {picture.id} twice", where=f"{split.file}: images.{at}")
        ids.add(picture.id)
    objects: dict[int | str, list[AnnotatedObject]] = {}
    for at, annotation in enumerate(content.annotations):
        where = f"{split.file}: annotations.{at}"
        if annotation.image_id not in ids:
            raise DataError(
                f"is of picture {annotation.image_id}, which is not in images", where=where
            )
        if annotation.category_id not in numbers:
            raise DataError(f"unknown class: category {annotation.category_id}", where=where)
        if not annotation.iscrowd:
            objects.setdefault(annotation.image_id, []).append(annotation)
    folders = _folders(split, root)
    return [
        _of_picture(picture, objects.get(picture.id, []), split, folders, numbers)
        for picture in content.images
    ]


def _of_picture(
    picture: Picture,
    objects: list[AnnotatedObject],
    split: _Split,
    folders: list[Path],
    numbers: list[int],
) -> Annotated:
    boxes = np.array([annotation.bbox for annotation in objects], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    candidates = [folder / picture.file_name for folder in folders]
    size: Any = (picture.width, picture.height)
    return Annotated(
        picture=next((file for file in candidates if is_file(file)), candidates[0]),
        source=f"{split.file}: {picture.file_name}",
        labels=np.array(
            [numbers.index(annotation.category_id) for annotation in objects], np.int64
        ),
        boxes=boxes,
        size=size if all(size) else None,
    )


def _folders(split: _Split, root: Path) -> list[Path]:
    """Where the pictures of a split may lie."""
    images = root / "images"
    named = [images / split.name, root / split.name, images, split.file.parent, root]
    return [folder for folder in named if folder.is_dir()]
