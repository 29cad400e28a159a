import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgespiral.core.errors import MeasurementError, RunFolderError, TargetError
from edgespiral.measure.transports import LocalTransport


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
        transport.pull("nothing", transport.folder / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a small disk")
def test_a_full_place_for_temporary_files_is_named_and_not_the_model(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    (tmp_path / "large.onnx").write_bytes(bytes(2**18))
    try:
        with LocalTransport(disk) as transport:
            with pytest.raises(RunFolderError, match=rf"{disk}/.*: cannot write: No space left"):
                transport.push(tmp_path / "large.onnx", "model-0/large.onnx")
            (transport.folder / "model-0/large.onnx").unlink(missing_ok=True)
            (transport.folder / "small").write_bytes(bytes(2**12))
            transport.pull("small", tmp_path / "small")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
