from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def write_pictures():
    """Writes pictures of 40 x 20 pixels; returns their files."""

    def write(folder: Path, names, size=(40, 20), ending=".png") -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(0)
        files = [folder / f"{name}{ending}" for name in names]
        for file in files:
            pixels = generator.integers(0, 255, (size[1], size[0], 3), np.uint8)
            Image.fromarray(pixels).save(file)
        return files

    return write
