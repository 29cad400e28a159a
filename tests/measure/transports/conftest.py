import logging
from pathlib import Path

import pytest


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of 3 MB with every byte in it."""
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 12_000)
    return path


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Has warnings of transports recorded."""
    caplog.set_level(logging.WARNING, "edgespiral.measure")
