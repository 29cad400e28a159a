"""The transport through a real adb server; a stand-in (tests/stand_ins/adbd.py) is the device."""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from devices import Meanwhile, Phone

from edgespiral.core.errors import MeasurementError, TargetError
from edgespiral.measure.session import Session
from edgespiral.measure.transports.adb import AdbTransport
from edgespiral.measure.transports.base import DeviceLostError


def reached(phone: Phone, **settings: object) -> AdbTransport:
    return AdbTransport(phone.profile(**settings).transport)


def replug(phone: Phone) -> None:
    phone.unplug()
    phone.start()


def test_a_device_is_connected_for_a_while_only(phone: Phone) -> None:
    with reached(phone) as transport:
        assert transport.run(["echo", "there"], 60).stdout == "there\n"
        assert phone.serial in phone.adb("devices")
    assert phone.serial not in phone.adb("devices")


def test_a_device_lost_while_pushing_is_awaited(
    phone: Phone, large: Path, meanwhile: Meanwhile, caplog: pytest.LogCaptureFixture
) -> None:
    mark = phone.pause_once("sha256sum")
    with reached(phone) as transport:
        meanwhile(mark.exists, lambda: replug(phone))
        transport.repeated(lambda: transport.push(large, "a"))
        found = Path(transport.folder, "a").read_bytes()
    assert hashlib.sha256(found).digest() == hashlib.sha256(large.read_bytes()).digest()
    assert "the connection broke" in caplog.text
    assert list(phone.folder.iterdir()) == []


def test_a_device_lost_while_running_and_fetching_is_awaited(
    phone: Phone, tmp_path: Path, large: Path, meanwhile: Meanwhile
) -> None:
    count, goal = tmp_path / "runs", tmp_path / "fetched"
    goal.write_text("before")
    half = f"echo run >> {count}; printf half; [ $(wc -l < {count}) = 2 ] || sleep 600; echo whole"
    with reached(phone) as transport:
        meanwhile(count.exists, lambda: replug(phone))
        done = transport.repeated(lambda: transport.run(["sh", "-c", half], 60))
        assert (done.stdout, count.read_text()) == ("halfwhole\n", "run\nrun\n")
        transport.push(large, "a")
        mark = phone.pause_once("sha256sum")
        meanwhile(mark.exists, phone.unplug)
        with pytest.raises(DeviceLostError, match=f"{phone.serial}: the connection broke"):
            transport.pull("a", goal)
        assert goal.read_text() == "before"
        phone.start()
        transport.repeated(lambda: transport.pull("a", goal))
    assert goal.read_bytes() == large.read_bytes()


def test_a_device_that_stays_away_is_reported(
    phone: Phone, caplog: pytest.LogCaptureFixture
) -> None:
    gone = pytest.raises(DeviceLostError, match=r"no such device is attached \(tried for 1 s\)")
    with gone, reached(phone, retry_s=1) as transport:
        phone.unplug()
        transport.repeated(lambda: transport.run(["true"], 60))
    assert f"{transport.folder} may be left over" in caplog.text


def test_a_hung_command_is_ended(phone: Phone) -> None:
    late = pytest.raises(MeasurementError, match=r"no answer within 1 s: waiting; raise timeout_s")
    with reached(phone) as transport:
        with late:
            transport.run(["sh", "-c", "echo waiting >&2; echo $$ > pid; sleep 600"], 1)
        pid = Path(transport.folder, "pid").read_text().strip()
        for _ in range(1000):
            if not Path("/proc", pid).exists():
                break
            time.sleep(0.01)
        assert not Path("/proc", pid).exists()
        assert transport.run(["echo", "next"], 60).stdout == "next\n"


def test_the_only_device_needs_no_name(phone: Phone) -> None:
    phone.adb("connect", phone.serial)
    with reached(phone, serial=None) as transport:
        assert phone.serial in transport.way()["connection"]
    # It was connected before, so it still is.
    assert phone.serial in phone.adb("devices")


def test_of_several_devices_one_has_to_be_named(
    phone: Phone, second: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (phone, second):
        one.adb("connect", one.serial)
    with pytest.raises(TargetError, match=r"2 devices are attached: .*name one: serial"):
        reached(phone, serial=None).__enter__()
    monkeypatch.setenv("ANDROID_SERIAL", second.serial)
    with reached(phone, serial=None, workdir=str(second.folder)) as transport:
        assert transport.way()["connection"].startswith(f"adb {second.serial}, ")


@pytest.fixture
def second(phone: Phone, tmp_path: Path) -> Any:
    """Another device at the same adb server."""
    other = type(phone)(tmp_path, phone.server_port)
    other.start()
    yield other
    other.unplug()


def test_no_device_at_all_says_how_to_attach_one(phone: Phone) -> None:
    with pytest.raises(DeviceLostError, match=r"no Android device is attached; attach it by USB"):
        reached(phone, serial=None).__enter__()
    with pytest.raises(DeviceLostError, match="R58M: no such device is attached; attach it"):
        reached(phone, serial="R58M").__enter__()


def test_a_device_whose_user_has_not_agreed_says_what_to_do(phone: Phone) -> None:
    phone.unplug()
    phone.start("unauthorized")
    told = pytest.raises(
        TargetError, match="the device is unauthorized; unlock it and allow USB debug"
    )
    with told as caught:
        reached(phone).__enter__()
    assert not isinstance(caught.value, DeviceLostError)


def test_a_server_that_cannot_be_started_is_told(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    monkeypatch.setenv("ADBUTILS_ADB_PATH", shutil.which("false") or "")
    with pytest.raises(TargetError, match=r"127.0.0.1:1: no adb server runs, and none could be"):
        reached(phone).__enter__()


def test_a_model_is_measured_over_adb(phone: Phone, convolution: Callable[..., Path]) -> None:
    """The ONNX Runtime agent runs as well where a device has Python."""
    with Session(phone.profile()) as session:
        [measured] = session.measure([convolution()])
    assert (measured.target, len(measured.rounds_ms)) == ("phone", 5)
    assert list(phone.folder.iterdir()) == []
