from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version

import pytest
from processes import await_end

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


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process of its parent's end")
def test_a_run_is_killed_with_its_worker(tmp_path):
    """So that no other worker finds its folder taken."""
    log = tmp_path / "log"
    words = ["-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    given = json.dumps([words, str(log), HERE, version("edgespiral")])
    begin = (
        f"import json, runpy, sys; run = runpy.run_path({worker.__file__!r})['run_on_worker']; "
        "run(*json.loads(sys.argv[1]))"
    )
    begun = subprocess.Popen([sys.executable, "-c", begin, given])
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.02)
    begun.kill()
    begun.wait()
    await_end(int(log.read_text()))


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
