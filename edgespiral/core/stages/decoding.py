"""Frames decoded from the bytes of a file; every picture of EdgeSpiral's is read by `rgb`.

The agent that times decoding has this file beside it on the device, so it needs nothing of
EdgeSpiral: NumPy and, for pictures, Pillow.
"""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

ORIENTATION = 0x0112
# What Pillow does to show a picture of an orientation; from 5 on width and height change places.
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
ON_ITS_SIDE = (5, 6, 7, 8)
# Where a PNG that says so in its head has its orientation; to look further is to decode all of it.
IN_HEAD = ("exif", "Raw profile type exif", "XML:com.adobe.xmp")
MOST_OF_16_BITS = 65535


def decoded(
    content: bytes,
    kind: str,
    draft: Sequence[int] | None,
    upright: bool = True,
) -> Any:  # noqa: ANN401
    """The frame in a file's bytes: a picture (H, W, 3), uint8, or a sound (n,), int16.

    Args:
        content: of the file.
        kind: `picture` or `sound`.
        draft: of pictures, the width and height below which a JPEG need not be decoded.
        upright: pictures are turned as they say themselves (EXIF), not taken as they are stored.
    """
    return _picture(content, draft, upright=upright) if kind == "picture" else _sound(content)


def rgb(image: Image.Image, draft: Sequence[int] | None = None, *, upright: bool = True) -> Any:  # noqa: ANN401
    """A picture that was opened, as viewers show it: a Pillow image in RGB.

    Of values of 16 bits the upper 8 are taken, and what is transparent is white.

    Args:
        image: just opened, and not decoded yet.
        draft: the width and height, as shown, below which a JPEG need not be decoded.
        upright: turn it as it says itself (EXIF).

    Raises:
        ValueError: its values have a range that nobody knows.
    """
    from PIL import Image as Pillow

    turn = orientation(image) if upright else 1
    if draft is not None:
        # A JPEG is decoded several times as fast at a half or less of its size.
        width, height = reversed(draft) if turn in ON_ITS_SIDE else draft
        image.draft("RGB", (width, height))
    plain = _on_white(_of_bytes(image))
    return plain.transpose(Pillow.Transpose(TURNS[turn])) if turn in TURNS else plain


def orientation(image: Image.Image) -> int:
    """From 1, as it is stored, to 8, as EXIF has it; of a picture that is not decoded yet."""
    # Pillow turns these itself.
    if image.format == "TIFF":
        return 1
    if image.format == "PNG" and not any(name in image.info for name in IN_HEAD):
        return 1
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged words about a picture leave it as it is
        return 1
    return found if found in TURNS else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height that `rgb` makes of a picture; `image.size` are those that are stored."""
    width, height = image.size
    return (height, width) if orientation(image) in ON_ITS_SIDE else (width, height)


def _of_bytes(image: Image.Image) -> Image.Image:
    """The picture with no value of more than a byte, which Pillow would clip."""
    import numpy as np
    from PIL import Image

    if image.mode in ("F", "LAB"):
        raise ValueError(f"values of kind {image.mode} are not read")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > MOST_OF_16_BITS:
        raise ValueError("values of more than 16 bits are not read")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode not in ("LA", "PA", "La", "RGBA", "RGBa") and "transparency" not in image.info:
        return image.convert("RGB")
    clear = image.convert("LA") if image.mode == "La" else image
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(clear.convert("RGBA"))
    return ground.convert("RGB")


def _picture(content: bytes, draft: Sequence[int] | None, *, upright: bool) -> Any:  # noqa: ANN401
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(rgb(image, draft, upright=upright))


def _sound(content: bytes) -> Any:  # noqa: ANN401
    import numpy as np

    with wave.open(io.BytesIO(content), "rb") as file:
        width, samples = file.getsampwidth(), file.readframes(file.getnframes())
    if width == 1:
        return ((np.frombuffer(samples, np.uint8).astype(np.int16) - 128) * 256).astype(np.int16)
    # Little-endian: the last two bytes of each are the upper ones.
    upper = np.frombuffer(samples, np.uint8).reshape(-1, width)[:, -2:]
    return np.ascontiguousarray(upper).view("<i2")[:, 0]
