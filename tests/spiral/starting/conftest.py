"""One rehearsal of a small run, which several tests look at."""

from pathlib import Path

import pytest

from edgespiral.core.listener import Silent
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.starting.rehearsal import Rehearsal, rehearse

NET = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )
"""


class Heard(Silent):
    """A listener that remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def heard() -> Heard:
    """A listener that remembers what was said."""
    return Heard()


@pytest.fixture(scope="session")
def digits_plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A small net on digits, to be twice as fast."""
    path = tmp_path_factory.mktemp("rehearsed") / "net.py"
    path.write_text(NET)
    return Plan(model=f"{path}:net", data="digits", speedup=2.0, epochs=2.0, batch_size=64)


@pytest.fixture(scope="session")
def rehearsed(
    digits_plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Rehearsal, list[str], set[Path]]:
    """What a rehearsal says, what it told meanwhile, and the files that it left."""
    place, heard = tmp_path_factory.mktemp("here"), Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        rehearsal = rehearse(digits_plan, heard)
    return rehearsal, heard.lines, set(place.rglob("*"))
