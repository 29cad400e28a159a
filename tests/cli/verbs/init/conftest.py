"""What a newcomer may have: a network, samples, photographs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from edgespiral.cli.app import app

CODE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)),
    )


def data():
    inputs = torch.randn(160, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    part = TensorDataset(inputs, torch.arange(160) % 4)
    return {"train": part, "validation": part, "test": part, "classes": list("abcd")}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to begin in, with `mine.py` alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def init() -> Callable[..., Result]:
    """`edgespiral init` with words; its error is the result's exception."""
    return lambda *words: CliRunner().invoke(app, ["init", *words])


@pytest.fixture
def photographs(here: Path) -> Path:
    """Ten small pictures each of three kinds of things."""
    for number, kind in enumerate(("cup", "dog", "key")):
        for index in range(10):
            path = here / "photos" / kind / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (80 * number, 25 * index, 9)).save(path)
    return here / "photos"
