"""A connection of OpenSSH's own `ssh`, shared by all commands, that knows why it ends.

`ssh` reads the user's configuration: aliases, jump hosts, agent, keys. It never asks anything
(BatchMode), so a passphrase belongs into the agent, and a host key must be known beforehand.
"""

from __future__ import annotations

import re
import secrets
import shlex
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING

from edgespiral.core.errors import TargetError
from edgespiral.measure.completed import last_words
from edgespiral.measure.transport.base import DeviceLostError
from edgespiral.measure.transport.device_scripts import KEEP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgespiral.core.profile import SshProfile

# Beyond the connection itself: authentication and the start of a shell on a slow board.
LOGIN_S = 30
# A slow device looks through all its processes first; a dead one is known before by its silence.
CLOSING_S = 60
UNANSWERED_KEEPALIVES = 3
# For how long a device keeps the work folder of a host that has gone without a word.
GRACE_S = 600
# A Unix socket's path has 104 characters at least; ssh appends 17 while it makes one.
LONGEST_SOCKET_FOLDER = 70
ALWAYS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectionAttempts=1",
    "ControlPersist=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "LogLevel=ERROR",
    f"ServerAliveCountMax={UNANSWERED_KEEPALIVES}",
)


@dataclass(frozen=True)
class Reply:
    """How a script on the device ended, and what it had printed."""

    state: str
    stdout: bytes
    stderr: str


class Link:
    """One connection to a device and the work folder that it keeps there.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: SshProfile) -> None:
        self.host = settings.host
        config = ["-F", str(Path(settings.config).expanduser())] if settings.config else []
        self._plain = ["ssh", *config]
        options = (
            *ALWAYS,
            f"ConnectTimeout={settings.connect_timeout_s}",
            f"ServerAliveInterval={settings.keepalive_s}",
        )
        self._ssh = [*self._plain, "-T", *(part for option in options for part in ("-o", option))]
        self._limit_s = settings.connect_timeout_s + LOGIN_S
        self._open = ExitStack()
        self._master: subprocess.Popen[bytes] | None = None
        self.work = ""

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._master is not None and self._master.poll() is None

    def open(self, workdir: str) -> None:
        """Connect, and make a work folder below `workdir`, or find that of before again.

        Raises:
            DeviceLostError: the device cannot be reached.
            TargetError: it does not let us in, its key is not the known one, or there is no
                place for the work folder.
        """
        self.drop()
        folder = self._open.enter_context(_socket_folder())
        self._log = folder / "log"
        self._socket = folder / "s"
        mark = secrets.token_hex(8)
        script = ("sh", "-c", KEEP, "edgespiral", mark, workdir, self.work, mark, str(GRACE_S))
        self._master = self._start(script)
        state = self._first_words(mark)
        if not state.startswith("open "):
            self.drop()
            raise TargetError("cannot make a work folder", where=f"{self.host}:{workdir}")
        self.work = state.removeprefix("open ")

    def ask(
        self,
        script: str,
        *arguments: str,
        content: IO[bytes] | None = None,
        timeout_s: float,
    ) -> Reply:
        """Run a script of `device_scripts` in the work folder; its input is `content`.

        Raises:
            DeviceLostError: the connection broke before the end of the answer.
            subprocess.TimeoutExpired: there was no answer in time.
        """
        if not self.alive:
            raise self._why_lost()
        mark = secrets.token_hex(8)
        command = ("sh", "-c", script, "edgespiral", mark, self.work, *arguments)
        with _endless() as waiting:
            done = subprocess.run(  # noqa: S603 (the command is this package's own)
                self._client(command),
                stdin=waiting if content is None else content,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                start_new_session=True,
            )
        stderr = done.stderr.decode(errors="replace")
        reply = _reply(done.stdout, stderr, mark)
        if reply is None:
            raise self._why_lost(stderr)
        return reply

    def configuration(self) -> dict[str, str]:
        """What ssh makes of the host's name with the user's configuration."""
        told = subprocess.run(  # noqa: S603 (the command is this package's own)
            [*self._plain, "-G", "--", self.host], capture_output=True, text=True, check=False
        )
        pairs = (line.partition(" ") for line in told.stdout.splitlines())
        return {key: value for key, _, value in pairs}

    def close(self) -> bool:
        """Remove the work folder and disconnect; False where the folder may still be there."""
        if self._master is None or self._master.stdin is None:
            return False
        with suppress(OSError, subprocess.TimeoutExpired):
            self._master.stdin.write(b"end\n")
            self._master.stdin.close()
            self._master.wait(CLOSING_S)
        removed = self._master.poll() == 0
        self.drop()
        return removed

    def drop(self) -> None:
        """Disconnect, if connected; the device keeps the work folder for a while."""
        if self._master is not None:
            self._master.kill()
            self._master.wait()
            for stream in (self._master.stdin, self._master.stdout):
                if stream:
                    with suppress(OSError):
                        stream.close()
        self._master = None
        self._open.close()

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        shared = ["-o", "ControlMaster=yes", "-S", str(self._socket)]
        try:
            with self._log.open("wb") as log:
                # In a session of its own, so that Ctrl-C leaves it for the cleaning up.
                return subprocess.Popen(  # noqa: S603 (the command is this package's own)
                    [*self._ssh, *shared, "--", self.host, shlex.join(command)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            self.drop()
            what = f"ssh cannot be started: {error.strerror}"
            hint = "install OpenSSH's client (Debian, Ubuntu: apt-get install openssh-client)"
            raise TargetError(what, hint=hint) from error

    def _client(self, command: Sequence[str]) -> list[str]:
        # Without the shared connection there is none: it must not connect on its own.
        shared = ["-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-S", str(self._socket)]
        return [*self._ssh, *shared, "--", self.host, shlex.join(command)]

    def _first_words(self, mark: str) -> str:
        """What the keeper says when it is there; an error where it is not."""
        assert self._master is not None
        assert self._master.stdout is not None
        watch = Timer(self._limit_s, self._master.kill)
        watch.start()
        try:
            for line in self._master.stdout:
                words = line.decode(errors="replace").strip()
                if words.startswith(mark):
                    return words.removeprefix(mark).strip()
        finally:
            watch.cancel()
        self._master.wait()
        error = self._explained(self._said())
        self.drop()
        raise error

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def _why_lost(self, stderr: str = "") -> DeviceLostError:
        said = self._said() if self._master is not None else ""
        why = last_words(said) or last_words(stderr) or "no reason given"
        return DeviceLostError(f"the connection broke: {why}", where=self.host)

    def _explained(self, said: str) -> TargetError:
        """The error for a connection that did not come about, with what mends it."""
        login = shlex.join([*self._plain, self.host])
        if "IDENTIFICATION HAS CHANGED" in said:
            return TargetError(
                "the device's host key is not the one that is known",
                where=self.host,
                hint=f"if it was set up anew: {self._forget(said)}; then accept the new: {login}",
            )
        if "Host key verification failed" in said:
            return TargetError(
                "the device's host key is not known",
                where=self.host,
                hint=f"look at it and accept it once: {login}",
            )
        if "Permission denied" in said:
            return TargetError(
                f"it does not let us in: {last_words(said)}",
                where=self.host,
                hint=f"a key without a question is needed: ssh-add, or {self._copy_id()}",
            )
        if "onfiguration" in said or "onfig file" in said:
            return TargetError(last_words(said), where=self.host, hint="mend ssh's configuration")
        return DeviceLostError(
            f"cannot be reached: {last_words(said) or f'no answer within {self._limit_s} s'}",
            where=self.host,
            hint=f"is it on, and does its ssh server run? try: {login}",
        )

    def _forget(self, said: str) -> str:
        """The command that removes the known key that ssh complains of."""
        found = re.search(r"Offending \S+ key in (.+):\d+", said)
        told = self.configuration()
        name = told.get("hostkeyalias") or told.get("hostname", self.host)
        port = told.get("port", "22")
        entry = name if port == "22" or "hostkeyalias" in told else f"[{name}]:{port}"
        file = ["-f", found[1]] if found else []
        return shlex.join(["ssh-keygen", *file, "-R", entry])

    def _copy_id(self) -> str:
        return shlex.join(["ssh-copy-id", *self._plain[1:], self.host])


def _reply(stdout: bytes, stderr: str, mark: str) -> Reply | None:
    """The answer between the mark's two places; None where either is missing."""
    _, begun, rest = stdout.partition(f"{mark}\n".encode())
    body, ended, state = rest.rpartition(f"\n{mark} ".encode())
    if not begun or not ended or not state.endswith(b"\n"):
        return None
    return Reply(state.decode(errors="replace").strip(), body, stderr)


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """A private folder with a path short enough for a socket."""
    short = len(tempfile.gettempdir()) <= LONGEST_SOCKET_FOLDER
    with tempfile.TemporaryDirectory(prefix="edgespiral-", dir=None if short else "/tmp") as name:  # noqa: S108
        yield Path(name)


@contextmanager
def _endless() -> Iterator[int]:
    """An input without content that ends with this process at the latest."""
    import os

    end, kept = os.pipe()
    try:
        yield end
    finally:
        os.close(end)
        os.close(kept)
