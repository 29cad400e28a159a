"""Images as a person sees them, for tasks that draw what a model says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from edgespiral.core.batches import Normalisation

# So that boxes and words have room; smaller images are enlarged by a whole number.
LEAST_SIDE = 160
# Apart from each other for most who see few colours: the Okabe-Ito palette.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#000000")


def colour(number: int) -> str:
    """The colour of a class; after eight they come again."""
    return COLOURS[number % len(COLOURS)]


def visible(images: Tensor, normalisation: Normalisation | None) -> tuple[Tensor, int]:
    """Bytes (N, 3, H * k, W * k) of images (N, 1 or 3, H, W), and k.

    Args:
        images: as a model sees them.
        normalisation: what was done to them; where it is not known, each goes from its darkest to
            its brightest value.
    """
    if normalisation is None:
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        shares = (images - low) / (high - low).clamp_min(torch.finfo(images.dtype).tiny)
    else:
        shape = (1, -1, 1, 1)
        std, mean = (
            torch.tensor(values).reshape(shape)
            for values in (normalisation.std, normalisation.mean)
        )
        shares = images * std + mean
    factor = -(-LEAST_SIDE // min(images.shape[2:]))
    pixels = (255 * shares.clamp(0, 1)).round().to(torch.uint8).expand(-1, 3, -1, -1)
    return F.interpolate(pixels, scale_factor=factor, mode="nearest"), factor
