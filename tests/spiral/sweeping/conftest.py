from __future__ import annotations

import pytest

PLAN = """schema = 1
[plan]
model = "none.py:net"
data = "digits"
speedup = 1.5
"""


@pytest.fixture
def sweep_file(tmp_path):
    """Writes a sweep's plan whose model is in no file, so that its runs end at once."""

    def write(*sections):
        path = tmp_path / "sweep.toml"
        path.write_text(PLAN + "\n".join(sections))
        return path

    return write
