from __future__ import annotations

import shutil

import pytest
from quick_runs import QUICK

NET = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 10),
    )
"""


@pytest.fixture
def place(tmp_path):
    """A folder with a small net, `net.py:net`, and this machine measured in short rounds."""
    (tmp_path / "net.py").write_text(NET)
    shutil.copy(QUICK, tmp_path)
    return tmp_path
