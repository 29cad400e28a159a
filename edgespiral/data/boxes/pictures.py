"""Pictures with boxes as samples: an image, and a row for each object in it."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from edgespiral.core.stages.decoding import rgb
from edgespiral.core.system.process_state import usable_cores
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.files.decoded import DecodedPictures
from edgespiral.data.sources.folder import MAX_WORKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.core.batches import Normalisation
    from edgespiral.data.boxes.annotated import Boxed
    from edgespiral.data.boxes.options import BoxOptions

# Of the class of rows that fill up a picture's targets.
NO_OBJECT = -1
MOST_KEPT_BYTES = 2**28
# In a random view an object whose box has a shorter side than that is left out.
LEAST_PIXELS = 3.0
# What torchvision draws from.
OVERLAPS = tuple(v2.RandomIoUCrop().options)


def packed(labels: Tensor, boxes: Tensor, rows: int) -> Tensor:
    """The targets of one image for the task `detection`: (rows, 5), float32.

    Args:
        labels: (n,) classes from 0.
        boxes: (n, 4) corners x0, y0, x1, y1 in pixels of the image as the model sees it.
        rows: the most objects that any image of the data set has, at least n.

    Returns:
        A row of class, x0, y0, x1, y1 for each object, and rows of class -1 for those that an image
        has not.

    Example:
        >>> packed(torch.tensor([2]), torch.tensor([[1.0, 1, 4, 5]]), rows=2).tolist()
        [[2.0, 1.0, 1.0, 4.0, 5.0], [-1.0, 0.0, 0.0, 0.0, 0.0]]
    """
    targets = torch.zeros(rows, 5)
    targets[:, 0] = NO_OBJECT
    targets[: len(labels), 0] = labels.float()
    targets[: len(labels), 1:] = boxes.float()
    return targets


class BoxedPictures(Dataset[tuple["Tensor", "Tensor"]]):
    """RGB pictures at one size, normalised, with their targets as `packed` makes them.

    Args:
        pictures: what they are.
        options: size and normalisation.
        rows: of the targets.
    """

    def __init__(self, pictures: Sequence[Boxed], options: BoxOptions, rows: int) -> None:
        self._pictures, self._options, self._rows = pictures, options, rows
        width, height = options.size
        self.is_kept = len(pictures) * 3 * width * height <= MOST_KEPT_BYTES
        self._stored_pixels = _all_pixels(pictures, options.size) if self.is_kept else None
        self._decoded = DecodedPictures(len(pictures), self._decode, 3 * width * height)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        boxed, size = self._pictures[index], self._options.size
        if self._stored_pixels is None:
            pixels = torch.from_numpy(self._decoded[index]).movedim(-1, 0)
        else:
            pixels = self._stored_pixels[index]
        boxes = torch.from_numpy(boxed.boxes) * torch.tensor([*size, *size])
        targets = packed(torch.from_numpy(boxed.labels), boxes, self._rows)
        return normalised(pixels, self._options.normalisation), targets

    def _decode(self, index: int) -> NDArray[np.uint8]:
        return _pixels(self._pictures[index], self._options.size)


class RandomViews(Dataset[tuple["Tensor", "Tensor"]]):
    """The same pictures cropped, zoomed out, mirrored and recoloured at random, with their boxes.

    Source: Liu et al. 2016 (SSD), section 2.2, by torchvision's transforms.
    """

    def __init__(self, pictures: Sequence[Boxed], options: BoxOptions, rows: int) -> None:
        self._pictures, self._options, self._rows = pictures, options, rows
        width, height = options.size
        drafted_bytes = 3 * int(np.prod(draft_size(options.size)))
        self._decoded = DecodedPictures(len(pictures), self._decode, drafted_bytes)
        fill = [round(255 * mean) for mean in options.normalisation.mean]
        mirrored = [v2.RandomHorizontalFlip()] if options.mirrors else []
        self._transform = v2.Compose(
            [
                v2.RandomZoomOut(fill=[min(max(value, 0), 255) for value in fill], p=0.3),
                OverlappingCrop(),
                *mirrored,
                v2.Resize((height, width), antialias=True),
                v2.RandomPhotometricDistort(p=0.5),
                v2.SanitizeBoundingBoxes(min_size=LEAST_PIXELS),
            ]
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        boxed = self._pictures[index]
        pixels = tv_tensors.Image(torch.from_numpy(self._decoded[index]).movedim(-1, 0))
        height, width = pixels.shape[-2:]
        boxes = torch.from_numpy(boxed.boxes) * torch.tensor([width, height, width, height])
        labels = torch.from_numpy(boxed.labels)
        view = {
            "image": pixels,
            "labels": labels,
            "boxes": tv_tensors.BoundingBoxes(
                boxes.float(), format="XYXY", canvas_size=(height, width)
            ),
        }
        # A crop and a sanitising fail where there is nothing to crop around.
        seen = self._transform(view) if len(labels) else self._without_objects(view)
        targets = packed(seen["labels"], seen["boxes"].as_subclass(torch.Tensor), self._rows)
        image_ = seen["image"].as_subclass(torch.Tensor)
        return normalised(image_, self._options.normalisation), targets

    def _decode(self, index: int) -> NDArray[np.uint8]:
        return np.array(_opened(self._pictures[index], self._options.size))

    def _without_objects(self, view: dict[str, Tensor]) -> dict[str, Tensor]:
        width, height = self._options.size
        view["image"] = v2.functional.resize(view["image"], [height, width], antialias=True)
        return view


class OverlappingCrop(v2.RandomIoUCrop):  # type: ignore[misc]
    """torchvision's random crop, which tries for no overlap that no crop of the picture can have.

    Of how much a crop is to overlap with a box at least (intersection over union), torchvision
    draws one of seven values, tries 40 crops, and draws another value where none will do. Where
    objects are small most values are beyond all crops, and most of the time went into trying.
    What is drawn from the others alone has the same distribution.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """See `v2.Transform.make_params`."""
        boxes = next(value for value in flat_inputs if isinstance(value, tv_tensors.BoundingBoxes))
        smallest = math.prod(int(self.min_scale * side) for side in boxes.canvas_size)
        corners = boxes.as_subclass(torch.Tensor)
        largest = float((corners[:, 2:] - corners[:, :2]).prod(1).max())
        most = largest / max(1, smallest)
        # One stands for the whole picture.
        self.options = [least for least in OVERLAPS if least <= most or least >= 1]
        params: dict[str, Any] = super().make_params(flat_inputs)
        return params


class BoxSource(DatasetSource):
    """Batches of pictures with boxes; what is kept in memory needs no processes to load it."""

    def __init__(self, pictures: Sequence[Boxed], options: BoxOptions, rows: int) -> None:
        workers = min(MAX_WORKERS, usable_cores())
        self._pictures_of = BoxedPictures(pictures, options, rows)
        super().__init__(
            self._pictures_of,
            RandomViews(pictures, options, rows),
            workers=workers,
            names=[str(boxed.picture) for boxed in pictures],
        )

    def unaugmented(self) -> DatasetSource:
        """See `core.batches.AugmentedSource`."""
        return self.stored(self._pictures_of, self._names)

    @staticmethod
    def stored(pictures: BoxedPictures, names: Sequence[str] | None) -> DatasetSource:
        """Batches without random views."""
        workers = 0 if pictures.is_kept else min(MAX_WORKERS, usable_cores())
        return DatasetSource(pictures, workers=workers, fixed=True, names=names)


def normalised(pixels: Tensor, normalisation: Normalisation) -> Tensor:
    """Values of bytes (3, H, W), normalised."""
    mean, std = (
        torch.tensor(values).reshape(-1, 1, 1) for values in (normalisation.mean, normalisation.std)
    )
    return (pixels.float() / 255 - mean) / std


def _all_pixels(pictures: Sequence[Boxed], size: tuple[int, int]) -> Tensor:
    width, height = size
    all_pixels = torch.empty(len(pictures), 3, height, width, dtype=torch.uint8)
    with ThreadPoolExecutor() as threads:
        for at, pixels in enumerate(threads.map(lambda boxed: _pixels(boxed, size), pictures)):
            all_pixels[at] = torch.from_numpy(pixels).movedim(-1, 0)
    return all_pixels


def _pixels(boxed: Boxed, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bytes (H, W, 3)."""
    return np.array(_opened(boxed, size).resize(size))


def draft_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height below which a picture that is resized to `size` need not be decoded."""
    return 3 * size[0] // 2, 3 * size[1] // 2


def _opened(boxed: Boxed, size: tuple[int, int]) -> Image.Image:
    """The picture in RGB, half as large again as `size` or larger where it is so itself."""
    with Image.open(boxed.picture) as image:
        picture: Image.Image = rgb(image, draft_size(size), upright=boxed.is_upright)
        return picture
