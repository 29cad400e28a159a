"""Frames decoded from the bytes of a file.

The agent that times decoding has this file beside it on the device, so it needs nothing of
EdgeSpiral: NumPy and, for pictures, Pillow.
"""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def decoded(content: bytes, kind: str, draft: Sequence[int] | None) -> Any:  # noqa: ANN401
    """The frame in a file's bytes: a picture (H, W, 3), uint8, or a sound (n,), int16.

    Args:
        content: of the file.
        kind: `picture` or `sound`.
        draft: of pictures, the width and height below which a JPEG need not be decoded.
    """
    return _picture(content, draft) if kind == "picture" else _sound(content)


def _picture(content: bytes, draft: Sequence[int] | None) -> Any:  # noqa: ANN401
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        if draft is not None:
            image.draft("RGB", (draft[0], draft[1]))
        return np.asarray(image.convert("RGB"))


def _sound(content: bytes) -> Any:  # noqa: ANN401
    import numpy as np

    with wave.open(io.BytesIO(content), "rb") as file:
        width, samples = file.getsampwidth(), file.readframes(file.getnframes())
    if width == 1:
        return ((np.frombuffer(samples, np.uint8).astype(np.int16) - 128) * 256).astype(np.int16)
    # Little-endian: the last two bytes of each are the upper ones.
    upper = np.frombuffer(samples, np.uint8).reshape(-1, width)[:, -2:]
    return np.ascontiguousarray(upper).view("<i2")[:, 0]
