"""What takes long to make and is only looked at: made once for all workers of a session.

A worker of pytest-xdist has session fixtures of its own, so what two of them ask for would be made
twice. Here the first that asks makes a folder; the others wait for it, or find it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.system.files import make_folder
from edgespiral.core.system.lock import locked

MadeOnce = Callable[[str, Callable[[Path], object]], Path]
# Of one that makes it, on a busy machine.
LONGEST_S = 280.0


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Makes the folder of a name, by a function that fills it, unless another worker has.

    The folder is everybody's: what a test changes, it changes in a copy.
    """
    own = tmp_path_factory.getbasetemp()
    # Workers' folders lie beside each other.
    shared = make_folder((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-once")

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        place = make_folder(shared / name)
        with locked(place, wait_s=LONGEST_S):
            goal, half = place / name, place / "half"
            if not goal.exists():
                shutil.rmtree(half, ignore_errors=True)  # of a worker that failed at it
                fill(make_folder(half))
                half.rename(goal)
        return goal

    return made
