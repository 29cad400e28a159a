"""This machine as an Android device, behind a real adb server."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from devices.base import STAND_INS, WAIT_S, brief_profile, free_port, paused
from edgespiral.measure.profile import TargetProfile

ANDROID_TOOLS = (
    *("cat", "chmod", "cut", "date", "df", "grep", "head", "ls", "mkdir", "mktemp", "mv"),
    *(
        "printf",
        "readlink",
        "rm",
        "sed",
        "setsid",
        "sha256sum",
        "sleep",
        "sort",
        "taskset",
        "uname",
        "wc",
    ),
)


class Phone:
    """This machine as an Android device, behind a real adb server that a stand-in daemon answers.

    Attributes:
        serial: what the adb server calls it: an address on loopback.
        folder: where work folders are made, and nothing else is.
        bin: comes first on the PATH of commands that run there.
        server_port: of the adb server, which tests ask for in the environment.
    """

    def __init__(self, folder: Path, server_port: int) -> None:
        self.folder, self.bin = folder / "device", folder / "bin"
        for made in (self.folder, self.bin):
            made.mkdir()
        self.server_port, self.port = server_port, free_port()
        self.serial = f"127.0.0.1:{self.port}"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._install_userland()

    def start(self, state: str = "device") -> None:
        """Turn it on and wait until its daemon listens."""
        daemon = STAND_INS / "adbd.py"
        path = f"{self.bin}:{os.environ['PATH']}"
        command = [sys.executable, str(daemon), str(self.port), state]
        self._daemon = started = subprocess.Popen(command, env={**os.environ, "PATH": path})
        for _ in range(100 * WAIT_S):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if started.poll() is not None:
                break
            time.sleep(0.01)
        pytest.fail("the stand-in for adbd does not listen")

    def unplug(self) -> None:
        """Cut it off without a word."""
        # Taken first: a test may have it started again in another thread.
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.kill()
            daemon.wait()

    def adb(self, *words: str) -> str:
        """What the adb program says to a command."""
        from adbutils import adb_path

        command = [adb_path(), "-P", str(self.server_port), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def program(self, name: str, text: str) -> Path:
        """Put a shell script on its PATH."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def profile(
        self, runtime: dict[str, object] | None = None, **transport: object
    ) -> TargetProfile:
        """A target that measures briefly on this device."""
        settings = {
            "kind": "adb",
            "serial": self.serial,
            "workdir": str(self.folder),
            "python": sys.executable,
            "timeout_s": WAIT_S,
            "retry_s": WAIT_S,
        }
        return brief_profile("phone", runtime, settings | transport, rounds=5)

    def pause_once(self, name: str) -> Path:
        """Make a program of the device hang at its first call, which leaves the file returned."""
        return paused(self, name)

    def _install_userland(self) -> None:
        """The shell and the tools that Android has, where this machine has them too."""
        shell, tools = shutil.which("mksh"), shutil.which("toybox")
        if shell:
            (self.bin / "sh").symlink_to(shell)
        if tools:
            listed = subprocess.run([tools], capture_output=True, text=True, check=True).stdout
            for name in set(ANDROID_TOOLS) & set(listed.split()):
                (self.bin / name).symlink_to(tools)


@pytest.fixture
def perf_test(tmp_path: Path) -> Path:
    """A file that takes the place of an `onnxruntime_perf_test` built for a device."""
    stand_in = STAND_INS / "onnxruntime_perf_test.py"
    path = tmp_path / "onnxruntime_perf_test"
    path.write_text(f"#!{sys.executable}\n{stand_in.read_text()}")
    return path


@pytest.fixture
def benchmark_model(tmp_path: Path) -> Path:
    """A file that takes the place of a `benchmark_model` of LiteRT's built for a device."""
    stand_in = STAND_INS / "benchmark_model.py"
    path = tmp_path / "benchmark_model"
    path.write_text(f"#!{sys.executable}\n{stand_in.read_text()}")
    return path


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real adb server of our own."""
    adbutils = pytest.importorskip("adbutils")
    try:
        program = adbutils.adb_path()
    except adbutils.AdbError:
        pytest.skip("there is no adb program; on Debian and Ubuntu: apt-get install adb")
    port, home = free_port(), tmp_path_factory.mktemp("adb")
    # It would look for emulators on this machine and for devices in the network.
    quiet = {"HOME": str(home), "ADB_LOCAL_TRANSPORT_MAX_PORT": "1", "ADB_MDNS": "0"}
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "-P", str(port), "nodaemon", "server"],
            env={**os.environ, **quiet},
            stdout=log,
            stderr=log,
        )
    yield port
    server.kill()
    server.wait()


@pytest.fixture
def phone(
    tmp_path_factory: pytest.TempPathFactory, adb_server: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Phone]:
    """An Android device that is on, and that the adb server can connect to."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    phone = Phone(tmp_path_factory.mktemp("phone"), adb_server)
    phone.start()
    yield phone
    phone.unplug()
    phone.adb("disconnect")
