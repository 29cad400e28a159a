"""What every device with a shell has to do, over real ssh and by way of a real adb server.

test_ssh.py and test_adb.py have what belongs to one of them.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from devices import Device

from edgespiral.core.errors import MeasurementError, RunFolderError, TargetError
from edgespiral.measure.transports import TRANSPORTS, shell
from edgespiral.measure.transports.shell import ShellTransport


@pytest.fixture(params=["board", "phone"])
def device(request: pytest.FixtureRequest) -> Device:
    """A device behind ssh, then one behind adb."""
    return request.getfixturevalue(request.param)


def reached(device: Device, **settings: object) -> ShellTransport:
    profile = device.profile(**settings)
    transport = TRANSPORTS.get(profile.transport.kind).make(profile.transport, None)
    assert isinstance(transport, ShellTransport)
    return transport


def test_files_and_commands_go_there_and_back(device: Device, tmp_path: Path, large: Path) -> None:
    copy = "import sys; open('out', 'wb').write(open('in/a b', 'rb').read()[::-1]); print(7)"
    with reached(device) as transport:
        transport.push(large, "in/a b")
        done = transport.run([transport.python, "-c", copy], 60)
        transport.pull("out", tmp_path / "b")
        [work] = device.folder.iterdir()
        assert (str(work), work.stat().st_mode & 0o777) == (transport.folder, 0o700)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "7\n", "")
    assert (tmp_path / "b").read_bytes() == large.read_bytes()[::-1]
    assert list(device.folder.iterdir()) == []


def test_arguments_and_output_pass_unchanged(device: Device) -> None:
    odd = ["a b", "$HOME", "it's", '"', "*", "", "back\\slash", "ünïcode", "new\nline"]
    show = "import sys; print(sys.argv[1:]); print('on stderr', file=sys.stderr); sys.exit(3)"
    with reached(device) as transport:
        done = transport.run([sys.executable, "-c", show, *odd], 60)
        killed = transport.run(["sh", "-c", "echo half; kill -9 $$"], 60)
    assert (done.exit_code, done.stdout, done.stderr) == (3, f"{odd}\n", "on stderr\n")
    assert killed.stdout == "half\n"
    assert "was killed by SIGKILL" in killed.failure()


def test_a_file_that_is_there_is_not_sent_again(device: Device, large: Path) -> None:
    with reached(device) as transport:
        transport.push(large, "a")
        first = Path(transport.folder, "a").stat().st_ino
        transport.push(large, "a")
        assert Path(transport.folder, "a").stat().st_ino == first
        large.write_bytes(b"other")
        transport.push(large, "a")
        assert Path(transport.folder, "a").read_bytes() == b"other"


def test_nothing_outside_the_work_folder_is_touched(device: Device, large: Path) -> None:
    beside = device.folder / "edgespiral-of-others"
    beside.mkdir()
    (beside / "a").write_text("theirs")
    with reached(device) as transport:
        transport.push(large, "a")
        assert transport.run(["ln", "-s", str(beside), "folder"], 60).exit_code == 0
        assert transport.run(["ln", "-s", str(beside / "a"), "file"], 60).exit_code == 0
        # A file of that name is written in its place, not through it.
        transport.push(large, "file")
        assert Path(transport.folder, "file").read_bytes() == large.read_bytes()
    assert list(device.folder.iterdir()) == [beside]
    assert [(path.name, path.read_text()) for path in beside.iterdir()] == [("a", "theirs")]


def test_a_device_that_lost_its_files_is_begun_anew(device: Device, large: Path) -> None:
    with reached(device) as transport:
        transport.push(large, "a")
        subprocess.run(["rm", "-r", transport.folder], check=True)

        def step() -> str:
            transport.push(large, "a")
            return transport.run(["ls"], 60).stdout

        assert transport.repeated(step) == "a\n"
    assert list(device.folder.iterdir()) == []


def test_what_is_missing_there_is_an_error(device: Device, tmp_path: Path) -> None:
    with reached(device) as transport:
        with pytest.raises(TargetError, match="there is no command python9; install"):
            transport.run(["python9", "agent.py"], 60)
        with pytest.raises(TargetError, match="cannot fetch nothing: No such file"):
            transport.pull("nothing", tmp_path / "a")
        with pytest.raises(TargetError, match="cannot be copied: No such file"):
            transport.push(tmp_path / "nothing", "a")
        transport.run(["sh", "-c", "echo x > a"], 60)
        with pytest.raises(RunFolderError, match="cannot write: No such file"):
            transport.pull("a", tmp_path / "no" / "folder")


def test_a_file_that_is_too_long_is_not_fetched(
    device: Device, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "MOST_FILE_BYTES", 1 << 20)
    with reached(device) as transport:
        transport.push(large, "a")
        with pytest.raises(MeasurementError, match="it says more than 1 MiB"):
            transport.pull("a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_parent_that_is_not_there_is_an_error(device: Device) -> None:
    with pytest.raises(TargetError, match="/nowhere: cannot make a work folder"):
        reached(device, workdir=f"{device.folder}/nowhere").__enter__()
