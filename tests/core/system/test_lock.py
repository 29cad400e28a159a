import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from edgespiral.core.errors import ExitCode, RunFolderError
from edgespiral.core.system import lock
from edgespiral.core.system.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from edgespiral.core.system.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def hold():
    processes = []

    def start(folder, seconds):
        command = [sys.executable, "-c", HOLD, str(folder), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def take(folder, wait_s=0.0):
    with locked(folder, wait_s=wait_s):
        pass


def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(tmp_path, hold):
    holder = hold(tmp_path, 600)
    with pytest.raises(RunFolderError, match="is working in this folder") as caught:
        take(tmp_path)
    assert caught.value.exit_code == ExitCode.RUN_FOLDER
    assert f"process {holder.pid};" in str(caught.value)
    holder.kill()
    holder.wait()
    take(tmp_path)


def test_a_lock_that_is_let_go_of_in_time_is_waited_for(tmp_path, hold):
    hold(tmp_path, 0.3)
    take(tmp_path, wait_s=60)


def test_a_stopped_process_that_holds_it_is_not_waited_for(tmp_path, hold, monkeypatch):
    monkeypatch.setattr(lock, "STOPPED_FOR_S", 0.3)
    holder = hold(tmp_path, 600)
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(RunFolderError, match=f"kill -CONT {holder.pid}"):
        take(tmp_path, wait_s=60)


def test_a_process_that_goes_on_again_is_waited_for(tmp_path, hold, monkeypatch):
    monkeypatch.setattr(lock, "STOPPED_FOR_S", 60.0)
    holder = hold(tmp_path, 0.3)
    holder.send_signal(signal.SIGSTOP)
    threading.Timer(0.5, holder.send_signal, [signal.SIGCONT]).start()
    take(tmp_path, wait_s=60)


def test_the_lock_is_let_go_of_though_a_child_process_still_has_its_file(tmp_path):
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
    try:
        take(tmp_path)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_what_lies_in_the_folder_is_left_alone(tmp_path, link):
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    victim.chmod(0o600)
    run.mkdir()
    getattr(run / ".lock", link)(victim)
    take(run)
    assert victim.read_text() == "precious"
    assert victim.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in run.iterdir()] == [".lock"]


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(RunFolderError, match="cannot be locked: No such file"):
        take(tmp_path / "none")
