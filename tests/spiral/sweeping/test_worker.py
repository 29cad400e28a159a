from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgespiral.spiral.sweeping import worker
from edgespiral.spiral.sweeping.worker import run_on_worker

HERE = {"PWD": os.getcwd(), "TOLD": "7"}  # noqa: PTH109
INTERRUPTS = """
import os, signal
def stopped(*_):
    print("kept", flush=True)
    raise SystemExit(130)
signal.signal(signal.SIGINT, stopped)
os.kill(os.getppid(), signal.SIGINT)
signal.pause()
"""

HOLDS = """
import signal
pipe = open("pipe", "w")
print("ready", file=pipe, flush=True)
signal.pause()
"""
WORKER = """
import sys
from edgespiral.spiral.sweeping import worker
worker.version = lambda _name: "1.0"
worker.run_on_worker(["-c", sys.argv[1]], "log", {"PWD": "."}, "1.0")
"""


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.setattr(worker, "version", lambda _name: "1.0")


def test_a_command_ends_with_its_code_and_has_the_run_s_variables(tmp_path):
    log = tmp_path / "run.log"
    words = [
        "-c",
        "import os; print(os.environ['TOLD']); raise SystemExit(int(os.environ['TOLD']))",
    ]
    assert run_on_worker(words, str(log), HERE, "1.0") == (7, "")
    assert log.read_text() == "7\n"


def test_one_that_is_cancelled_interrupts_its_run_and_waits_for_it(tmp_path):
    log = tmp_path / "run.log"
    with pytest.raises(KeyboardInterrupt):
        run_on_worker(["-c", INTERRUPTS], str(log), HERE, "1.0")
    assert log.read_text() == "kept\n"


def test_a_run_ends_with_a_worker_that_is_killed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", WORKER, HOLDS]
    killed = subprocess.Popen(command, cwd=tmp_path)
    with (tmp_path / "pipe").open() as pipe:
        assert pipe.readline() == "ready\n"
        killed.kill()
        # Its end is read once nobody has it open: the run is gone.
        assert pipe.read() == ""
    killed.wait()


def test_a_worker_that_cannot_run_it_says_why(tmp_path, monkeypatch):
    code, why = run_on_worker([], str(tmp_path / "log"), HERE, "2.0")
    assert (code, "has edgespiral 1.0, not 2.0" in why) == (2, True)
    code, why = run_on_worker([], str(tmp_path / "elsewhere" / "log"), HERE, "1.0")
    assert (code, "a file system that all workers share" in why) == (8, True)

    def lacks(name):
        raise worker.PackageNotFoundError(name)

    monkeypatch.setattr(worker, "version", lacks)
    code, why = run_on_worker([], str(tmp_path / "log"), HERE, "1.0")
    assert (code, "install 'edgespiral[ray]' there" in why) == (2, True)
