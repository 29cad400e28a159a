import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from small_disk import small_disk

from edgespiral.core.errors import MeasurementError, RunFolderError, TargetError
from edgespiral.measure.transports.local import LocalTransport


def script(folder: Path, text: str) -> Path:
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_files_and_commands_go_there_and_back(tmp_path: Path) -> None:
    copy = "import pathlib, sys; pathlib.Path('out').write_text(open('in/a').read() * 2); print(7)"
    (tmp_path / "work").mkdir()
    (tmp_path / "a").write_text("ab")
    with LocalTransport(tmp_path / "work") as transport:
        transport.push(tmp_path / "a", "in/a")
        transport.push(script(tmp_path, copy), "s.py")
        done = transport.run([transport.python, "s.py"], 60)
        transport.pull("out", tmp_path / "b")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "7\n", "")
    assert (tmp_path / "b").read_text() == "abab"
    assert list((tmp_path / "work").iterdir()) == []


def test_a_killed_process_shows_its_signal(tmp_path: Path) -> None:
    die = "import os, sys; print('half', flush=True); os.kill(os.getpid(), 9)"
    with LocalTransport(tmp_path) as transport:
        done = transport.run([sys.executable, "-c", die], 60)
    assert (done.exit_code, done.stdout) == (-9, "half\n")


def test_a_process_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    hang = "echo waiting >&2; echo for it >&2; exec sleep 600"
    late = pytest.raises(MeasurementError, match=r"no answer within 2 s: waiting for it; raise")
    with LocalTransport(tmp_path) as transport, late:
        transport.run(["sh", "-c", hang], 2)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_reached_is_a_target_error(tmp_path: Path) -> None:
    with LocalTransport(tmp_path) as transport:
        with pytest.raises(TargetError, match="cannot be started: No such file"):
            transport.run([str(tmp_path / "nothing")], 1)
        with pytest.raises(TargetError, match="cannot be copied: No such file"):
            transport.push(tmp_path / "nothing", "a")
        with pytest.raises(TargetError, match="cannot be fetched: No such file"):
            transport.pull("nothing", tmp_path / "a")
    with pytest.raises(TargetError, match="cannot make a work folder"):
        LocalTransport(tmp_path / "nothing").__enter__()


def test_the_work_folder_goes_when_the_work_fails(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path)
    with pytest.raises(TargetError), transport:
        transport.pull("nothing", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_full_place_for_temporary_files_is_named_and_not_the_model(tmp_path: Path) -> None:
    (tmp_path / "large.onnx").write_bytes(bytes(2**18))
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", "64k") as disk, LocalTransport(disk) as transport:
        with pytest.raises(RunFolderError, match=rf"{disk}/.*: cannot write: No space left"):
            transport.push(tmp_path / "large.onnx", "model-0/large.onnx")
        (transport.folder / "model-0/large.onnx").unlink(missing_ok=True)
        (transport.folder / "small").write_bytes(bytes(2**12))
        transport.pull("small", tmp_path / "small")


def eventually(condition: object) -> bool:
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.01)
    return bool(condition())  # type: ignore[operator]


def runs(process: psutil.Process) -> bool:
    # One that has ended may wait for a parent that never asks.
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_command_knows_its_temporary_folder_and_keeps_to_itself(tmp_path: Path) -> None:
    with LocalTransport(tmp_path) as transport:
        done = transport.run(["sh", "-c", "echo $TMPDIR $ORT_DISABLE_TELEMETRY"], 60)
        assert done.stdout == f"{transport.folder} 1\n"


HOST = """
import sys
from pathlib import Path
from edgespiral.measure.transports.local import LocalTransport
with LocalTransport(Path(sys.argv[1])) as transport:
    print("open", flush=True)
    # Something that starts something, as an agent does with a tool.
    transport.run(["sh", "-c", "sleep 600 & echo $! > pids; echo $$ >> pids; sleep 600"], 60)
"""


def test_nothing_outlives_a_host_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOST, str(tmp_path)]) as host:
        assert eventually(
            lambda: [len(p.read_text().split()) for p in tmp_path.glob("*/pids")] == [2]
        )
        [pids] = tmp_path.glob("*/pids")
        started = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
        host.kill()
    assert eventually(lambda: not any(map(runs, started)))
    # The folder goes with the next start.
    with LocalTransport(tmp_path) as transport:
        assert list(tmp_path.iterdir()) == [transport.folder]


def test_what_runs_for_another_thread_ends_with_the_context(tmp_path: Path) -> None:
    with LocalTransport(tmp_path) as transport:
        command = ["sh", "-c", "echo $$ > pid; exec sleep 600"]
        thread = threading.Thread(target=transport.run, args=(command, 60))
        thread.start()
        pid = transport.folder / "pid"
        assert eventually(lambda: pid.exists() and pid.read_text().endswith("\n"))
        running = psutil.Process(int(pid.read_text()))
    thread.join(60)
    assert not runs(running)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_of_the_terminal_is_not_the_command_s(tmp_path: Path) -> None:
    with LocalTransport(tmp_path) as transport:
        done = transport.run([sys.executable, "-c", "import os; print(os.getpgrp())"], 60)
    assert int(done.stdout) != os.getpgrp()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
