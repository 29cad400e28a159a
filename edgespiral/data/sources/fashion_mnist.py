"""Fashion-MNIST (Xiao et al. 2017): 70,000 grey images of 28x28 pixels in ten classes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgespiral.core.errors import DataError
from edgespiral.data.files.packed import read_packed
from edgespiral.data.places import downloading, search_folders
from edgespiral.data.sources.base import labelled_images, without_argument
from edgespiral.data.tensors import Augmentation

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.core.batches import DataSplits

VALIDATION_COUNT = 5_000
# The largest of the four has 47 MB unpacked.
MOST_BYTES = 2**26
CLASS_NAMES = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip
FILES = {
    "train inputs": "train-images-idx3-ubyte",
    "train labels": "train-labels-idx1-ubyte",
    "test inputs": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}
# Where in a folder the files lie: as they come, or as torchvision puts them.
BELOW = ("", "fashion-mnist", "FashionMNIST/raw")
MENDS = (
    "install the Debian package dataset-fashion-mnist, or put the four idx files into a folder"
    " named by $EDGESPIRAL_DATA"
)


def load_fashion_mnist() -> DataSplits:
    """Fashion-MNIST with a fixed stratified validation part of 5,000 held out of train.

    Raises:
        DataError: found nowhere and not to be downloaded, or a file is damaged.
    """
    parts = _read_all(find_files() or _download())
    return labelled_images(
        "fashion-mnist",
        (parts["train inputs"], parts["train labels"]),
        (parts["test inputs"], parts["test labels"]),
        class_names=CLASS_NAMES,
        validation_count=VALIDATION_COUNT,
        augmentation=Augmentation(crop_pad=2, flip=True),
    )


def find_files() -> dict[str, Path] | None:
    """The four files by part, all from the first folder that has them, or None."""
    for folder in search_folders(BELOW):
        paths = {part: _existing(folder, name) for part, name in FILES.items()}
        files = {part: path for part, path in paths.items() if path is not None}
        if len(files) == len(FILES):
            return files
    return None


def _existing(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}.gz", folder / name)
    return next((path for path in candidates if path.is_file()), None)


def _download() -> dict[str, Path]:
    from torchvision.datasets import FashionMNIST

    with downloading("fashion-mnist", MENDS) as folder:
        FashionMNIST(folder, download=True)
    files = find_files()
    if files is None:
        raise DataError("the download of fashion-mnist is incomplete", hint=MENDS)
    return files


def _read_all(files: dict[str, Path]) -> dict[str, torch.Tensor]:
    parts = {part: _read_idx(path) for part, path in files.items()}
    for split in ("train", "test"):
        inputs, labels = parts[f"{split} inputs"], parts[f"{split} labels"]
        if inputs.ndim != 3 or labels.ndim != 1 or len(inputs) != len(labels):
            raise DataError(
                "images and labels do not belong together", where=str(files[f"{split} inputs"])
            )
        parts[f"{split} inputs"] = inputs[:, None]
        parts[f"{split} labels"] = labels.long()
    return parts


def _read_idx(path: Path) -> torch.Tensor:
    """An idx file of unsigned bytes: magic 0x0008<dimensions>, big-endian sizes, values."""
    try:
        raw = read_packed(path, MOST_BYTES)
        zero, kind, dimensions = int.from_bytes(raw[:2]), raw[2], raw[3]
        shape = np.frombuffer(raw, ">i4", count=dimensions, offset=4)
        values = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions)
        if zero != 0 or kind != 8 or values.size != shape.prod():
            raise ValueError
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError("not a whole idx file", where=str(path), hint=MENDS) from error
    return torch.from_numpy(values.reshape(shape.astype(int)).copy())


PLUGIN = without_argument(load_fashion_mnist)
