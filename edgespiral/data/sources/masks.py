"""Images with a mask each, in folders `images` and `masks`, with or without ready-made splits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from edgespiral.core.batches import DataSplits, Normalisation
from edgespiral.core.errors import DataError, first_few
from edgespiral.core.stages.decoding import rgb, upright_size
from edgespiral.core.stages.frames import Frames, ScaledPicture
from edgespiral.core.system.files import read_text
from edgespiral.core.system.process_state import usable_cores
from edgespiral.core.text import described
from edgespiral.core.user_code import user_code
from edgespiral.data.argument import Argument
from edgespiral.data.boxes.files import pictures_in
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.files.decoded import DecodedPictures
from edgespiral.data.files.parts import (
    PARTS,
    TEST_PART,
    VALIDATION_NAMES,
    VALIDATION_PART,
    require_apart,
)
from edgespiral.data.holdout import drawn_apart
from edgespiral.data.images import MOST_SIDE, check_images, small_pictures
from edgespiral.data.sources.base import FileSource
from edgespiral.data.sources.folder import MAX_WORKERS, MEAN, STD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

IMAGES, MASKS, CLASSES = "images", "masks", "classes.txt"
IGNORED = 255
DEFAULT_SIZE = 128
INDEXED = ("P", "L", "I", "I;16")
GREY_OR_COLOURS = ("LA", "RGB", "RGBA")


@dataclass(frozen=True)
class Pair:
    """The files of an image and of its mask, whose pixels are classes."""

    image: Path
    mask: Path


class MaskedImages(Dataset[tuple["Tensor", "Tensor"]]):
    """RGB images at size x size, normalised, and their masks as int64.

    Args:
        pairs: their files.
        size: of a side, in pixels.
        is_kept: files are decoded once; else each time, so that one that changes shows.
    """

    def __init__(self, pairs: Sequence[Pair], size: int, *, is_kept: bool = False) -> None:
        self._pairs, self._size = pairs, size
        pixel_bytes = 3 + np.dtype(np.int32).itemsize
        decoded = DecodedPictures(len(pairs), self._decode, pixel_bytes * size * size)
        self._decoded = decoded if is_kept else None

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        planes = self._decode(index) if self._decoded is None else self._decoded[index]
        pixels = planes[..., :3].astype(np.float32) / 255
        classes = np.ascontiguousarray(planes[..., 3:]).view(np.int32)[..., 0].astype(np.int64)
        normalised = (pixels - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
        return torch.from_numpy(normalised.transpose(2, 0, 1).copy()), torch.from_numpy(classes)

    def _decode(self, index: int) -> NDArray[np.uint8]:
        """Three bytes a pixel of the image, and the four of its class."""
        pair, size = self._pairs[index], (self._size, self._size)
        with Image.open(pair.image) as image, Image.open(pair.mask) as mask:
            turned: Image.Image = rgb(image, upright=_is_upright(image, mask))
            pixels = np.asarray(turned.resize(size))
            # No class is between two others.
            indices = _classes_of(mask, pair.mask)
            classes = np.array(indices.resize(size, Image.Resampling.NEAREST), np.int32)
        return np.concatenate([pixels, classes[..., None].view(np.uint8)], axis=-1)


def load_masks(argument: str) -> DataSplits:
    """`masks:PATH` or `masks:PATH?size=64`: images and masks resized to size x size.

    Below PATH, or below each of its subfolders train, val and test, lie `images/NAME.jpg` and
    `masks/NAME.png`; a mask's pixels are classes, 255 counts for nothing. Without subfolders 15 %
    of the images, drawn once and for all, are the test and a tenth of the rest the validation.
    `classes.txt` has a class's name a line.

    Raises:
        DataError: no such folder, no images, one without its mask or with one of another size or
            in colours, no names of classes, or training pixels are of one class alone.
    """
    spec = Argument("masks", argument, ["size"])
    root, size = (
        spec.path,
        spec.whole_number("size", default=DEFAULT_SIZE, least=8, most=MOST_SIDE),
    )
    names = _class_names(root)
    train, validation, test = _splits(root)
    parts = zip(PARTS, (train, validation, test), strict=True)
    require_apart({name: [pair.image for pair in part] for name, part in parts}, f"masks:{root}")
    pairs = [*train, *validation, *test]
    check_images(pair.image for pair in pairs)
    check_images((pair.mask for pair in pairs), are_shown=False)
    with ThreadPoolExecutor() as threads:
        upright = list(threads.map(_require_sound, pairs))
    _require_two_classes(train, f"masks:{root}")
    files = [] if "size" in spec.options else [pair.image for pair in train]
    return DataSplits(
        name=f"masks:{root}",
        train=_source(train, size, is_kept=True),
        validation=_source(validation, size),
        test=_source(test, size),
        class_names=names,
        input_shape=(3, size, size),
        target_shape=(size, size),
        ignored_class=IGNORED,
        normalisation=Normalisation(MEAN, STD),
        notes=tuple(small_pictures(files, (size, size), square=True)),
        frames=Frames(
            "picture",
            ScaledPicture((size, size), "cubic", MEAN, STD),
            tuple(pair.image for pair in validation),
            as_stored=frozenset(
                pair.image for pair, turns in zip(pairs, upright, strict=True) if not turns
            ),
        ),
    )


def _classes_of(mask: Image.Image, file: Path) -> Image.Image:
    """A mask whose pixels are indices: of a palette, or grey values.

    Raises:
        DataError: it has colours.
    """
    if mask.mode == "1":
        return Image.fromarray(np.asarray(mask).astype(np.uint8))
    if mask.mode == "I;16B":
        return Image.fromarray(np.asarray(mask).astype(np.int32))
    if mask.mode in INDEXED:
        return mask
    # Greys are often stored as colours.
    colours = np.asarray(mask.convert("RGB"))
    if mask.mode not in GREY_OR_COLOURS or (colours != colours[..., :1]).any():
        raise DataError(
            f"is in colours ({mask.mode})",
            where=str(file),
            hint="a mask's pixels are classes: grey values, or indices of a palette",
        )
    return Image.fromarray(np.ascontiguousarray(colours[..., 0]))


def _is_upright(image: Image.Image, mask: Image.Image) -> bool:
    """Whether a mask is on the image as viewers show it, as it is unless its size says else."""
    return mask.size == upright_size(image)


def _require_sound(pair: Pair) -> bool:
    """Look at what the sizes of a pair tell, and at kinds of masks that may have colours.

    Returns:
        Whether the mask is on the image as viewers show it.
    """
    with Image.open(pair.image) as image, Image.open(pair.mask) as mask:
        if mask.size not in (image.size, upright_size(image)):
            raise DataError(
                f"is {mask.size[0]} x {mask.size[1]} pixels, its image "
                f"{image.size[0]} x {image.size[1]}",
                where=str(pair.mask),
            )
        is_upright = _is_upright(image, mask)
        if mask.mode not in ("1", "I;16B", *INDEXED):
            _read(mask, pair.mask)
    return is_upright


def _read(mask: Image.Image, file: Path) -> NDArray[np.int64]:
    try:
        return np.asarray(_classes_of(mask, file), np.int64)
    except DataError:
        raise
    except Exception as error:  # whatever damaged bytes make a decoder raise
        raise DataError(f"cannot be decoded: {described(error)}", where=str(file)) from error


def _require_two_classes(train: Sequence[Pair], name: str) -> None:
    """Look at masks of the training part until two classes are met."""
    seen: set[int] = set()
    for pair in train:
        with Image.open(pair.mask) as mask:
            seen |= {*np.unique(_read(mask, pair.mask)).tolist()} - {IGNORED}
        if len(seen) > 1:
            return
    what = f"class {min(seen)} alone" if seen else "no class"
    raise DataError(
        f"the training masks have {what}; pixels of {IGNORED} do not count",
        where=name,
        hint="write classes as 0, 1, 2, ..., not as black and white",
    )


def _source(pairs: Sequence[Pair], size: int, *, is_kept: bool = False) -> DatasetSource:
    workers = min(MAX_WORKERS, usable_cores())
    names = [str(pair.image) for pair in pairs]
    images = MaskedImages(pairs, size, is_kept=is_kept)
    return DatasetSource(images, workers=workers, fixed=True, names=names)


def _class_names(root: Path) -> tuple[str, ...]:
    file = root / CLASSES
    if not root.is_dir():
        raise DataError("no such folder", where=str(root))
    with user_code(
        DataError, "cannot be read", where=str(file), hint="write a class's name a line"
    ):
        lines = read_text(file).splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _splits(root: Path) -> tuple[Sequence[Pair], Sequence[Pair], Sequence[Pair]]:
    if (root / IMAGES).is_dir():
        rest, test = drawn_apart(_pairs(root), TEST_PART)
        return (*drawn_apart(rest, VALIDATION_PART), test)
    validation = next((name for name in VALIDATION_NAMES if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or validation is None or not (root / "test").is_dir():
        raise DataError(
            f"has no {IMAGES} and {MASKS}, nor train, val and test with these", where=str(root)
        )
    train, held, test = (_pairs(root / name) for name in ("train", validation, "test"))
    return train, held, test


def _pairs(folder: Path) -> list[Pair]:
    """Every image with the mask of its name, sorted.

    Raises:
        DataError: there are none, or some have no mask.
    """
    images = _by_name(folder / IMAGES)
    masks = _by_name(folder / MASKS)
    if not images:
        raise DataError("no images", where=str(folder / IMAGES))
    without = [path.name for name, path in images.items() if name not in masks]
    if without:
        raise DataError(f"no mask for {first_few(without)}", where=str(folder / MASKS))
    return [Pair(path, masks[name]) for name, path in images.items()]


def _by_name(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder))
    return pictures_in(folder)


def _fits(folder: Path) -> bool:
    return (folder / CLASSES).is_file() and any(
        (place / IMAGES).is_dir() and (place / MASKS).is_dir()
        for place in (folder, folder / "train")
    )


PLUGIN = FileSource(load_masks, task="segmentation", order=10, fits=_fits)
