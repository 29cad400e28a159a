from __future__ import annotations

import pytest
from example_run import run_records


@pytest.fixture
def records():
    """Of a whole run, in order."""
    return run_records()
