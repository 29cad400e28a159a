"""Agents under a Python that does not look beside a program by itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgespiral

RUNTIMES = Path(edgespiral.__file__).parent / "measure" / "runtimes"
# With what a host pushes beside each; the phone's has no Python.
AGENTS = sorted(RUNTIMES.glob("*/*_agent.py"))


@pytest.mark.parametrize("agent", AGENTS, ids=lambda path: path.stem)
def test_an_agent_finds_what_lies_beside_it(agent: Path, tmp_path: Path) -> None:
    for file in (*RUNTIMES.glob("agent*.py"), *agent.parent.glob("*.py")):
        if file.name != "__init__.py":
            shutil.copy(file, tmp_path)
    command = [sys.executable, "-I", agent.name, "no-request.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    # It came as far as reading its request.
    assert "No such file or directory: 'no-request.json'" in done.stderr
