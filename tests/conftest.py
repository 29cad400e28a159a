"""A real OpenSSH server on loopback, with keys and a configuration of its own."""

import getpass
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from edgespiral.measure.profile import TargetProfile

# A shell starts background jobs with Ctrl-C ignored, and their children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PRIVILEGE_SEPARATION = Path("/run/sshd")
WAIT_S = 60
ANDROID_TOOLS = (
    *("cat", "chmod", "cut", "date", "df", "grep", "head", "ls", "mkdir", "mktemp", "mv", "printf"),
    *("readlink", "rm", "sed", "setsid", "sha256sum", "sleep", "sort", "taskset", "uname", "wc"),
)


class Board:
    """This machine as a device that ssh reaches as `board`, or by way of itself as `behind`.

    Attributes:
        folder: where work folders are made, and nothing else is.
        bin: comes first on the PATH of commands that run over ssh.
        config: the client's configuration; `known_hosts` has the server's key.
        extra: a line of the server's configuration, from its next start on.
    """

    def __init__(self, folder: Path) -> None:
        self._keys = folder / "keys"
        self.folder, self.bin = folder / "device", folder / "bin"
        for made in (self._keys, self.folder, self.bin):
            made.mkdir()
        self.config, self.known_hosts = self._keys / "config", self._keys / "known_hosts"
        self.port = _free_port()
        self.largest_file_bytes = resource.RLIM_INFINITY
        self.extra = ""
        self._server: psutil.Popen | None = None
        self._make_key("user")
        self.config.write_text(self._client_config())
        self.change_host_key()
        self.trust()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("sshd is missing; on Debian and Ubuntu: apt-get install openssh-server")
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        (self._keys / "sshd_config").write_text(self._server_config())
        with (self._keys / "log").open("ab") as log:
            command = [program, "-D", "-e", "-f", str(self._keys / "sshd_config")]
            self._server = psutil.Popen(command, stderr=log, preexec_fn=self._limit)
        self._await_answer()

    def stop(self) -> None:
        """End the server and every connection."""
        if self._server is not None:
            self.cut()
            self._server.kill()
            self._server.wait()
            self._server = None

    def cut(self) -> None:
        """End every connection without a word; what runs on the device goes on."""
        self._to_connections(psutil.Process.kill)

    def freeze(self) -> None:
        """Let every connection fall silent without ending it, as a pulled cable does."""
        self._to_connections(psutil.Process.suspend)

    def change_host_key(self) -> None:
        """Give the server a new key, from its next start on."""
        self._make_key("host")

    def trust(self) -> None:
        """Write down the server's key as the known one."""
        key = (self._keys / "host.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}")

    def program(self, name: str, text: str) -> Path:
        """Put a shell script on the device's PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def install_trtexec(self, version: str, before: str = ":") -> None:
        """Put a stand-in for trtexec on the device's PATH, which runs `before` at every start."""
        stand_in = Path(__file__).parent / "stand_ins" / "trtexec.py"
        python = f"OMP_NUM_THREADS=1 exec {sys.executable} {stand_in}"
        self.program("trtexec", f'{before}\n{python} {version} "$@"')

    def pause_once(self, name: str) -> Path:
        """Make a program of the device hang at its first call, which leaves the file returned."""
        return _paused(self, name)

    def profile(
        self, runtime: dict[str, object] | None = None, **transport: object
    ) -> TargetProfile:
        """A target that measures briefly on this device."""
        settings = {
            "kind": "ssh",
            "host": "board",
            "config": str(self.config),
            "workdir": str(self.folder),
            "python": sys.executable,
            "timeout_s": WAIT_S,
            "retry_s": WAIT_S,
        }
        return _brief("board", runtime, settings | transport)

    def processes(self, word: str) -> list[psutil.Process]:
        """What runs in a work folder with `word` among its arguments."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                inside = process.cwd().startswith(str(self.folder))
                if inside and any(word in part for part in process.cmdline()):
                    found.append(process)
        return found

    def _to_connections(self, action: Callable[[psutil.Process], None]) -> None:
        assert self._server is not None
        for child in self._server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.name().startswith("sshd"):
                    action(child)

    def _make_key(self, name: str) -> None:
        for path in (self._keys / name, self._keys / f"{name}.pub"):
            path.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._keys / name)]
        subprocess.run(command, check=True)

    def _limit(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.largest_file_bytes, hard))

    def _server_config(self) -> str:
        return f"""
            ListenAddress 127.0.0.1
            Port {self.port}
            HostKey {self._keys}/host
            PidFile none
            AuthorizedKeysFile {self._keys}/user.pub
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            PermitRootLogin prohibit-password
            SetEnv PATH={self.bin}:{os.environ["PATH"]}
            {self.extra}
        """

    def _client_config(self) -> str:
        return f"""
            Host behind
                ProxyJump board
            Host board behind
                HostName 127.0.0.1
                Port {self.port}
                User {getpass.getuser()}
                IdentityFile {self._keys}/user
                IdentitiesOnly yes
                UserKnownHostsFile {self.known_hosts}
                GlobalKnownHostsFile none
        """

    def _await_answer(self) -> None:
        assert self._server is not None
        for _ in range(100 * WAIT_S):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as one:
                if one.recv(4) == b"SSH-":
                    return
            if self._server.poll() is not None:
                break
            time.sleep(0.01)
        pytest.fail(f"sshd does not answer: {(self._keys / 'log').read_text()}")


def _brief(
    name: str, runtime: dict[str, object] | None, transport: dict[str, object], rounds: int = 6
) -> TargetProfile:
    return TargetProfile.model_validate(
        {
            "schema": 1,
            "name": name,
            "runtime": runtime or {"kind": "onnxruntime"},
            "transport": transport,
            "measure": {"warmup_ms": 2, "rounds": rounds, "round_ms": 1, "min_samples": 12},
        }
    )


def _paused(device: "Board | Phone", name: str) -> Path:
    real, mark = shutil.which(name), device.bin / f"{name}-was-called"
    device.program(name, f'[ -e "{mark}" ] || {{ : > "{mark}"; sleep 600; }}\nexec {real} "$@"')
    return mark


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A device behind a running ssh server; at the end nothing of it may be left over."""
    board = Board(tmp_path_factory.mktemp("board"))
    board.start()
    yield board
    board.stop()
    for process in board.processes(""):
        process.kill()


@pytest.fixture
def meanwhile() -> Iterator[Callable[[Callable[[], object], Callable[[], object]], None]]:
    """Does one thing, in a thread, as soon as another is true."""
    threads: list[threading.Thread] = []

    def begin(when: Callable[[], object], what: Callable[[], object]) -> None:
        def wait() -> None:
            end = time.monotonic() + WAIT_S
            while not when() and time.monotonic() < end:
                time.sleep(0.01)
            what()

        threads.append(threading.Thread(target=wait))
        threads[-1].start()

    yield begin
    for thread in threads:
        thread.join()


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
        self.server_port, self.port = server_port, _free_port()
        self.serial = f"127.0.0.1:{self.port}"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._install_userland()

    def start(self, state: str = "device") -> None:
        """Turn it on and wait until its daemon listens."""
        daemon = Path(__file__).parent / "stand_ins" / "adbd.py"
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
        return _brief("phone", runtime, settings | transport, rounds=5)

    def pause_once(self, name: str) -> Path:
        """Make a program of the device hang at its first call, which leaves the file returned."""
        return _paused(self, name)

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
    stand_in = Path(__file__).parent / "stand_ins" / "onnxruntime_perf_test.py"
    path = tmp_path / "onnxruntime_perf_test"
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
    port, home = _free_port(), tmp_path_factory.mktemp("adb")
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


@pytest.fixture(scope="session", autouse=True)
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's own caches are neither read nor written."""
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _empty_cache(
    _caches: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """What one test measures does not spare another its measurements."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(_caches / f"{abs(hash(request.node.nodeid)):x}"))
