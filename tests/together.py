"""Trainings in two processes, started by PyTorch's own launcher once for all tests of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trained_together

if TYPE_CHECKING:
    from collections.abc import Callable

    from made_once import MadeOnce


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Start a program in two processes of this machine."""

    def run(*words: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        return subprocess.run(
            [sys.executable, *launcher, str(processes), *words],
            env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def of_two(
    torchrun: Callable[..., subprocess.CompletedProcess[str]],
    made_once: MadeOnce,
) -> Path:
    """The folder in which two processes have left all trainings of `trained_together`."""

    def fill(folder: Path) -> None:
        trained_together.begin(folder / "of-one.pt")
        done = torchrun(str(Path(trained_together.__file__)), str(folder))
        assert (folder / "said.json").is_file(), done.stderr

    return made_once("two", fill)
