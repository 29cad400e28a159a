"""A real OpenSSH server on loopback, with keys and a configuration of its own."""

import getpass
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from devices.base import STAND_INS, WAIT_S, brief_profile, free_port, paused
from edgespiral.measure.profile import TargetProfile

PRIVILEGE_SEPARATION = Path("/run/sshd")


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
        self.port = free_port()
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
        stand_in = STAND_INS / "trtexec.py"
        python = f"OMP_NUM_THREADS=1 exec {sys.executable} {stand_in}"
        self.program("trtexec", f'{before}\n{python} {version} "$@"')

    def pause_once(self, name: str) -> Path:
        """Make a program of the device hang at its first call, which leaves the file returned."""
        return paused(self, name)

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
        return brief_profile("board", runtime, settings | transport)

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


@pytest.fixture
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A device behind a running ssh server; at the end nothing of it may be left over."""
    board = Board(tmp_path_factory.mktemp("board"))
    board.start()
    yield board
    board.stop()
    for process in board.processes(""):
        process.kill()
