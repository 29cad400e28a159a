"""That a run tells nobody anything: no socket, no file but its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from brief_target import BRIEF

from edgespiral.measure.tiny import write_tiny_model

MEASURE = ["-m", "edgespiral", "measure", "tiny.onnx", "--target", "brief.toml"]


def left_by(tmp_path: Path, words: list[str], before: tuple[str, ...] = ()) -> list[str]:
    """Run Python with a home of its own; the files that lie there and in TMPDIR afterwards."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    for folder in (home, temporary):
        folder.mkdir()
    (tmp_path / "victim").write_text("precious")
    (temporary / ".ses").symlink_to(tmp_path / "victim")
    write_tiny_model(tmp_path / "tiny.onnx")
    (tmp_path / "brief.toml").write_text(BRIEF)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_"))}
    environment = {**kept, "HOME": str(home), "TMPDIR": str(temporary)}
    command = [*before, sys.executable, *words]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    found = [path for folder in (home, temporary) for path in folder.rglob("*") if path.is_file()]
    return [str(path.relative_to(tmp_path)) for path in found if path.name != ".ses"]


def test_a_measurement_leaves_no_file_and_follows_no_link(tmp_path: Path) -> None:
    assert left_by(tmp_path, MEASURE) == []
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_measurement_opens_no_socket(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing; on Debian and Ubuntu: apt-get install strace")
    log = tmp_path / "log"
    left_by(tmp_path, MEASURE, (strace, "-f", "-e", "trace=socket,execve", "-o", str(log)))
    calls = log.read_text()
    assert "agent.py" in calls
    assert re.findall(r"socket\(AF_(?!UNIX)\w+", calls) == []
