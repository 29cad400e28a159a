"""CIFAR-10 (Krizhevsky 2009): 60,000 colour images of 32x32 pixels in ten classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from edgespiral.core.errors import DataError
from edgespiral.core.system.files import read_bytes
from edgespiral.data.places import downloading, search_folders
from edgespiral.data.sources.base import labelled_images, without_argument
from edgespiral.data.tensors import Augmentation

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from edgespiral.core.batches import DataSplits

VALIDATION_COUNT = 5_000
CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
# The binary version: rows of a label and 3072 bytes, channel by channel.
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
ROW_BYTES = 1 + 3 * 32 * 32
# A file has 10,000 rows.
MOST_BYTES = 2**25
BELOW = ("", "cifar-10-batches-bin", "cifar10", "cifar10/cifar-10-batches-bin")
MENDS = (
    "put the six .bin files of its binary version, or torchvision's cifar-10-batches-py, into a "
    "folder named by $EDGESPIRAL_DATA"
)


def load_cifar10() -> DataSplits:
    """CIFAR-10 with a fixed stratified validation part of 5,000 held out of train.

    Raises:
        DataError: found nowhere and not to be downloaded, or a file is damaged.
    """
    train, test = _parts()
    return labelled_images(
        "cifar10",
        train,
        test,
        class_names=CLASS_NAMES,
        validation_count=VALIDATION_COUNT,
        augmentation=Augmentation(crop_pad=4, flip=True),
    )


def _parts() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images (N, 3, 32, 32) and labels (N,) of training and of test."""
    for folder in search_folders(BELOW):
        if all((folder / name).is_file() for name in (*TRAIN_FILES, *TEST_FILES)):
            return _read(folder, TRAIN_FILES), _read(folder, TEST_FILES)
    return _from_torchvision()


def _read(folder: Path, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    rows = np.concatenate([_rows(folder / name) for name in names])
    inputs = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy())
    return inputs, torch.from_numpy(rows[:, 0].astype(np.int64))


def _rows(path: Path) -> np.ndarray:
    try:
        values = np.frombuffer(read_bytes(path, MOST_BYTES), np.uint8)
        rows = values.reshape(-1, ROW_BYTES)
        if not len(rows) or rows[:, 0].max() >= len(CLASS_NAMES):
            raise ValueError
    except (OSError, ValueError) as error:
        raise DataError(
            "not a whole file of CIFAR-10's binary version", where=str(path), hint=MENDS
        ) from error
    return rows


def _from_torchvision() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """torchvision's copy: where it is, or downloaded. It reads no file of another checksum."""
    from torchvision.datasets import CIFAR10

    present = [root for root in search_folders(("", "cifar10")) if _has_torchvisions(root)]
    if present:
        return _pair(CIFAR10(present[0], train=True)), _pair(CIFAR10(present[0], train=False))
    with downloading("cifar10", MENDS) as folder:
        splits = [CIFAR10(folder, train=train, download=True) for train in (True, False)]
    return _pair(splits[0]), _pair(splits[1])


def _has_torchvisions(root: Path) -> bool:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    listed = (
        *CIFAR10.train_list,
        *CIFAR10.test_list,
        (CIFAR10.meta["filename"], CIFAR10.meta["md5"]),
    )
    folder = root / CIFAR10.base_folder
    return all(check_integrity(folder / name, md5) for name, md5 in listed)


def _pair(dataset: object) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(np.asarray(dataset.data))  # type: ignore[attr-defined]
    labels = torch.tensor(dataset.targets)  # type: ignore[attr-defined]
    return images.permute(0, 3, 1, 2).contiguous(), labels


PLUGIN = without_argument(load_cifar10)
