from __future__ import annotations

import pytest
import torch
from brief_training import taught
from torch import nn
from torch.nn import functional as F

from edgespiral.data import load
from edgespiral.export.onnx import export_onnx
from edgespiral.export.recipe import Recipe


class Small(nn.Module):
    """A residual net that learns digits in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.left = nn.Conv2d(16, 16, 3, padding=1)
        self.right = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(inputs))
        x = F.relu(x + self.right(F.relu(self.left(x))))
        return self.head(F.max_pool2d(x, 2).flatten(1))


@pytest.fixture(scope="session")
def digits():
    return load("digits")


@pytest.fixture(scope="session")
def trained(digits):
    torch.manual_seed(0)
    model = Small()
    return taught(model, digits, 3e-3)


@pytest.fixture(scope="session")
def float_file(trained, digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("float") / "model.onnx"
    export_onnx(trained, path, input_shape=digits.input_shape)
    return path


@pytest.fixture
def a_recipe():
    """Makes a recipe of few samples."""

    def make(**fields) -> Recipe:
        return Recipe.model_validate({"schema": 1, "name": "test", "samples": 40, **fields})

    return make
