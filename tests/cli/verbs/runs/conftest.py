from __future__ import annotations

import json

import pytest

from edgespiral.measure.profile import load_profile

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
    host = load_profile("host-cpu").model_dump(mode="json", by_alias=True, exclude_none=True)
    host["measure"] |= {"round_ms": 2, "warmup_ms": 2, "min_samples": 5}
    sections = "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        for name, section in host.items()
        if isinstance(section, dict)
    )
    (tmp_path / "quick.toml").write_text(f'schema = 1\nname = "quick"\n{sections}')
    return tmp_path
