"""Processes that are forked are to the product what plain ones are."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm_python

STARTED = warm_python.started
# Says where and what it is, and ends as its request says.
AGENT = """
import json, os, pathlib, signal, sys
import helper
is_leader = os.getsid(0) == os.getpid()
print(json.dumps([sys.argv, os.getcwd(), os.environ["OWN"], __name__, helper.SAID, is_leader]))
sys.stderr.write("words")
if pathlib.Path(sys.argv[1]).read_text() == "killed":
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGTERM)
sys.exit(3)
"""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command of an agent that has a module beside it, in the folder that it runs in."""
    (tmp_path / "own_agent.py").write_text(AGENT)
    (tmp_path / "helper.py").write_text("SAID = 'helped'\n")
    monkeypatch.setattr(warm_python.Warm, "is_on", True)
    return [sys.executable, "own_agent.py", "request"]


def begun(start: Any, argv: list[str], folder: Path) -> subprocess.Popen[Any]:
    return start(
        argv,
        cwd=folder,
        env={**os.environ, "OWN": "value"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize(("what", "code"), [("ends", 3), ("killed", -signal.SIGTERM)])
def test_a_forked_process_says_and_ends_as_a_plain_one(
    agent: list[str], tmp_path: Path, what: str, code: int
) -> None:
    (tmp_path / "request").write_text(what)
    plain, forked = (begun(start, agent, tmp_path) for start in (subprocess.Popen, STARTED))
    assert isinstance(forked, warm_python.Forked)
    assert plain.communicate() == forked.communicate()
    assert plain.returncode == forked.returncode == code


def test_it_can_be_waited_for_and_killed_with_its_group(agent: list[str], tmp_path: Path) -> None:
    (tmp_path / "own_agent.py").write_text(
        "import time\nprint('begun', flush=True)\ntime.sleep(99)"
    )
    process = begun(STARTED, agent, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(30) == process.poll() == -signal.SIGKILL
    process.communicate()


def test_what_nobody_catches_is_a_traceback_and_a_code(agent: list[str], tmp_path: Path) -> None:
    (tmp_path / "own_agent.py").write_text("raise KeyError('x')\n")
    process = begun(STARTED, agent, tmp_path)
    _, said = process.communicate()
    assert said.decode().splitlines()[-1] == "KeyError: 'x'"
    assert process.returncode == 1


def test_all_else_is_a_process_as_any_other(agent: list[str], tmp_path: Path) -> None:
    other = STARTED([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE)
    assert not isinstance(other, warm_python.Forked)
    assert other.communicate() == (b"1\n", None)
