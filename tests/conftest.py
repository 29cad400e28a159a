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

from edgespiral.core.profile import TargetProfile

# A shell starts background jobs with Ctrl-C ignored, and their children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PRIVILEGE_SEPARATION = Path("/run/sshd")
WAIT_S = 60


class Board:
    """This machine as a device that ssh reaches as `board`, or by way of itself as `behind`.

    Attributes:
        folder: where work folders are made, and nothing else is.
        bin: comes first on the PATH of commands that run over ssh.
        config: the client's configuration; `known_hosts` has the server's key.
    """

    def __init__(self, folder: Path) -> None:
        self._keys = folder / "keys"
        self.folder, self.bin = folder / "device", folder / "bin"
        for made in (self._keys, self.folder, self.bin):
            made.mkdir()
        self.config, self.known_hosts = self._keys / "config", self._keys / "known_hosts"
        self.port = _free_port()
        self.largest_file_bytes = resource.RLIM_INFINITY
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
        assert self._server is not None
        for child in self._server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.name().startswith("sshd"):
                    child.kill()

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
        real, mark = shutil.which(name), self.bin / f"{name}-was-called"
        self.program(name, f'[ -e "{mark}" ] || {{ : > "{mark}"; sleep 600; }}\nexec {real} "$@"')
        return mark

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
        return TargetProfile.model_validate(
            {
                "schema": 1,
                "name": "board",
                "runtime": runtime or {"kind": "onnxruntime"},
                "transport": settings | transport,
                "measure": {"warmup_ms": 2, "rounds": 6, "round_ms": 1, "min_samples": 12},
            }
        )

    def processes(self, word: str) -> list[psutil.Process]:
        """What runs in a work folder with `word` among its arguments."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                inside = process.cwd().startswith(str(self.folder))
                if inside and any(word in part for part in process.cmdline()):
                    found.append(process)
        return found

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
