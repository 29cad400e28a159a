"""A folder of images, one subfolder a class, with or without ready-made splits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from edgespiral.core.batches import DataSplits, Normalisation
from edgespiral.core.errors import DataError, first_few
from edgespiral.core.stages.decoding import rgb
from edgespiral.core.stages.frames import Frames, ScaledPicture
from edgespiral.core.system.process_state import usable_cores
from edgespiral.data.argument import Argument
from edgespiral.data.boxes.files import PICTURE_FORMS
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.files.decoded import DecodedPictures
from edgespiral.data.files.folders import holds
from edgespiral.data.files.parts import PARTS, require_apart, three_parts
from edgespiral.data.files.tables import tables_in
from edgespiral.data.holdout import hold_out
from edgespiral.data.images import MOST_SIDE, check_images, small_pictures
from edgespiral.data.sources.base import FileSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

DEFAULT_SIZE = 224
# What viewers of folders leave in them.
OF_VIEWERS = ("Thumbs.db", "desktop.ini")
MAX_WORKERS = 8
# Of a picture's area, what a random view shows at least.
LEAST_AREA = 0.35
# The statistics that torchvision's pretrained models were trained with, of values in 0..1.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_folder(argument: str) -> DataSplits:
    """`folder:PATH` or `folder:PATH?size=64`: RGB images resized to size x size.

    With the subfolders train, val and test, these are the splits. They may be called training,
    valid or validation, and testing, too, in capitals or not. With train and one other, the other
    is the test and a tenth of train is held out for validation. With neither, 15 % of the images
    are the test and a tenth of the rest the validation. All parts are stratified and fixed, so
    that no run sees another's test images.

    Raises:
        DataError: no such folder, no images, a file that is none, all folders hold folders of the
            same names alone, or the splits have different classes.
    """
    spec = Argument("folder", argument, ["size"])
    root, size = (
        spec.path,
        spec.whole_number("size", default=DEFAULT_SIZE, least=8, most=MOST_SIDE),
    )
    train, validation, test = parts = three_parts(root, _Part)
    require_apart(
        {name: map(Path, part.names) for name, part in zip(PARTS, parts, strict=True)},
        f"folder:{root}",
        repeats=True,
    )
    check_images(Path(name) for part in (train, validation, test) for name in part.names)
    files = [] if "size" in spec.options else list(map(Path, train.names))
    folders = {folder for part in parts for folder in part.folders}
    notes = (*small_pictures(files, (size, size), square=True), *_left_out(folders))
    return DataSplits(
        name=f"folder:{root}",
        train=train.source(size, is_kept=True),
        validation=validation.source(size),
        test=test.source(size),
        class_names=tuple(train.classes),
        input_shape=(3, size, size),
        normalisation=Normalisation(MEAN, STD),
        notes=notes,
        frames=Frames(
            "picture",
            ScaledPicture((size, size), "linear", MEAN, STD, edge=_edge(size)),
            tuple(map(Path, validation.names)),
        ),
    )


@dataclass(frozen=True)
class _Preparation:
    """What is done to an image: once for all, and each time that it is shown.

    `draft` is the side in pixels below which a JPEG need not be decoded, None for all of it;
    `bytes_each` is about how large what is once done is.
    """

    once: Callable[[object], object]
    shown: Callable[[object], object]
    bytes_each: int
    draft: int | None = None


class FolderImages(Dataset[tuple["Tensor", int]]):
    """Images and their labels.

    Args:
        files: the images.
        labels: of each.
        how: they are prepared.
        is_kept: what is done once is kept; else it is done each time.
    """

    def __init__(
        self, files: Sequence[str], labels: Sequence[int], how: _Preparation, *, is_kept: bool
    ) -> None:
        self._files, self._labels, self._how = files, labels, how
        self._decoded = (
            DecodedPictures(len(files), self._decode, how.bytes_each) if is_kept else None
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self._decode(index) if self._decoded is None else self._decoded[index]
        shown: Tensor = self._how.shown(Image.fromarray(pixels))  # type: ignore[assignment]
        return shown, self._labels[index]

    def _decode(self, index: int) -> NDArray[np.uint8]:
        with Image.open(self._files[index]) as image:
            side = self._how.draft
            return np.array(self._how.once(rgb(image, None if side is None else (side, side))))


class _Part:
    """Some images of a folder."""

    def __init__(self, root: Path, chosen: NDArray[np.int64] | None = None) -> None:
        self._root = root
        images = _images(root)
        self.classes = list(images.classes)
        self._files = [file for file, _ in images.samples]
        self._all_labels = np.asarray(images.targets, dtype=np.int64)
        self._chosen = np.arange(len(images)) if chosen is None else chosen

    def source(self, size: int, *, is_kept: bool = False) -> DatasetSource:
        """The images at size x size, normalised; augmented in shuffled passes.

        Args:
            size: of a side, in pixels.
            is_kept: files are decoded once; else each time, so that one that changes shows.
        """
        labels = self._all_labels[self._chosen].tolist()
        plain, augmented = (
            FolderImages(self.names, labels, how, is_kept=is_kept)
            for how in (_plain(size), _augmented(size))
        )
        workers = min(MAX_WORKERS, usable_cores())
        return DatasetSource(plain, augmented, workers=workers, names=self.names)

    @property
    def names(self) -> list[str]:
        """The files of its images."""
        return [self._files[index] for index in self._chosen]

    @property
    def folders(self) -> list[Path]:
        """Those of its classes."""
        return [self._root / name for name in self.classes]

    def split(self, fraction: float) -> tuple[_Part, _Part]:
        """(the rest, about `fraction` of the images, at least one of each class)."""
        labels = self._all_labels[self._chosen]
        count = max(len(self.classes), round(fraction * len(labels)))
        remaining, held = hold_out(labels, count, where=str(self._root))
        return _Part(self._root, self._chosen[remaining]), _Part(self._root, self._chosen[held])


def _images(root: Path) -> ImageFolder:
    try:
        images = ImageFolder(root, is_valid_file=_is_picture)
    except (FileNotFoundError, NotADirectoryError) as error:
        reason = "no such folder" if not root.is_dir() else "no images in one subfolder a class"
        raise DataError(reason, where=str(root)) from error
    direct = {Path(file).parent for file, _ in images.samples}
    inner = [_folders(root / name) for name in images.classes if root / name not in direct]
    if len(inner) == len(images.classes) and all(names == inner[0] for names in inner):
        # These may be the classes, and what was taken for classes the parts or sources above them.
        what = f"its folders have no images of their own, but each has {first_few(inner[0])}"
        hint = "put one subfolder a class below it; parts are called train, val and test"
        raise DataError(what, where=str(root), hint=hint)
    return images


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _is_picture(file: str) -> bool:
    return Path(file).suffix.lower() in PICTURE_FORMS


def _left_out(folders: Iterable[Path]) -> list[str]:
    """A line where classes' folders have files that are not read; else nothing."""
    files = [
        name
        for folder in folders
        for _, _, names in os.walk(folder, followlinks=True)
        for name in names
        if not (_is_picture(name) or name.startswith(".") or name in OF_VIEWERS)
    ]
    if not files:
        return []
    forms = sorted({Path(name).suffix.lower() or name for name in files})
    are = "1 file is" if len(files) == 1 else f"{len(files)} files are"
    return [f"{are} left out, being of no form of pictures that is read: {first_few(forms)}"]


def _edge(size: int) -> int:
    """What the shorter side is scaled to."""
    return round(size * 256 / 224)


def _plain(size: int) -> _Preparation:
    centre = v2.Compose([v2.Resize(_edge(size)), v2.CenterCrop(size)])
    return _Preparation(centre, _to_normalised(), 3 * size * size)


def _augmented(size: int) -> _Preparation:
    crop = v2.RandomResizedCrop(size, scale=(LEAST_AREA, 1.0))
    view = v2.Compose([crop, v2.RandomHorizontalFlip(), _to_normalised()])
    # The narrowest view of a square has half of its side, and as many pixels as are shown.
    draft = 2 * size
    return _Preparation(v2.Identity(), view, 3 * draft * draft, draft)


def _to_normalised() -> v2.Compose:
    import torch

    return v2.Compose(
        [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    )


def _fits(folder: Path) -> bool:
    return holds(folder, PICTURE_FORMS) and not tables_in(folder)


# Pictures lie beside what the others are known by.
PLUGIN = FileSource(load_folder, order=60, fits=_fits)
