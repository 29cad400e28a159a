"""A connection of OpenSSH's own `ssh`, shared by all commands, that knows why it ends.

`ssh` reads the user's configuration: aliases, jump hosts, agent, keys. It never asks anything
(BatchMode), so a passphrase belongs into the agent, and a host key must be known beforehand.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgespiral.core.errors import TargetError
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.completed import last_words
from edgespiral.measure.settings import NonEmpty, ShellSettings, WholeSeconds
from edgespiral.measure.transports.base import DeviceLostError, endless_input
from edgespiral.measure.transports.link import Link
from edgespiral.measure.transports.output import collected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Beyond the connection itself: authentication and the start of a shell on a slow board.
LOGIN_S = 30
# A slow device looks through all its processes first; a dead one is known before by its silence.
CLOSING_S = 60
UNANSWERED_KEEPALIVES = 3
# What ssh itself ends with; all else is what was run on the device.
SSH_FAILED = 255
# What no waiting mends: too many keys, no key exchange or cipher in common.
REFUSED = re.compile("Too many authentication failures|Unable to negotiate|no matching .* found")
LONGEST_LINE = 65536
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


class SshSettings(ShellSettings):
    """A device that OpenSSH reaches, with the user's own ssh configuration."""

    kind: Literal["ssh"]
    host: Annotated[str, Field(pattern=r"^[^-\s]\S*$")]
    config: NonEmpty | None = None
    keepalive_s: WholeSeconds = 5


class OpensshLink(Link):
    """One connection to a device and the work folder that it keeps there.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: SshSettings) -> None:
        super().__init__()
        self._host = settings.host
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

    @property
    def host(self) -> str:
        """The name that ssh is given."""
        return self._host

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._master is not None and self._master.poll() is None

    def _keep(self, command: Sequence[str], mark: str) -> str:
        folder = self._open.enter_context(_socket_folder())
        self._log = folder / "log"
        self._socket = folder / "s"
        self._master = self._start(command)
        return self._first_words(mark)

    def _run(
        self,
        command: Sequence[str],
        content: IO[bytes] | None,
        timeout_s: float,
        most_bytes: int,
    ) -> tuple[bytes, str]:
        with (
            endless_input() as waiting,
            subprocess.Popen(  # noqa: S603 (the command is this package's own)
                self._client(command),
                stdin=waiting if content is None else content,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            ) as client,
        ):
            try:
                stdout, stderr = collected(client, timeout_s, most_bytes)
            finally:
                client.kill()
        return stdout, stderr.decode(errors="replace")

    def configuration(self) -> dict[str, str]:
        """What ssh makes of the host's name with the user's configuration.

        Raises:
            TargetError: there is no ssh.
        """
        command = [*self._plain, "-G", "--", self.host]
        try:
            answer = subprocess.run(  # noqa: S603 (the command is this package's own)
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise _no_ssh(error) from error
        pairs = (line.partition(" ") for line in answer.stdout.splitlines())
        return {key: value for key, _, value in pairs}

    def described(self) -> str:
        """Whom ssh makes of the host's name."""
        options = self.configuration()
        user, name, port = (options.get(key, "?") for key in ("user", "hostname", "port"))
        login = f"{user}@{name}, port {port}"
        jump = options.get("proxyjump")
        return f"ssh {self.host} ({login}{f', by way of {jump}' if jump else ''})"

    def close(self) -> bool:
        """Remove the work folder and disconnect; False where the folder may still be there."""
        if self._master is None or self._master.stdin is None:
            return False
        with suppress(OSError, subprocess.TimeoutExpired):
            # Read to the end: a device that says more than a pipe holds would wait for ever.
            self._master.communicate(b"end\n", CLOSING_S)
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
            raise _no_ssh(error) from error

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
        other = b""
        try:
            for line in iter(partial(self._master.stdout.readline, LONGEST_LINE), b""):
                words = line.decode(errors="replace").strip()
                if words.startswith(mark):
                    return words.removeprefix(mark).strip()
                other = line.strip() or other
        finally:
            watch.cancel()
        exit_code = self._master.wait()
        error = self._explained(self._said())
        if isinstance(error, DeviceLostError) and exit_code not in (SSH_FAILED, -signal.SIGKILL):
            why = last_words(self._said()) or last_words(other.decode(errors="replace"))
            error = TargetError(
                f"its shell ended with exit code {exit_code}{f': {why}' if why else ''}",
                where=self.host,
                hint="a POSIX shell is needed that runs what ssh is told to",
            )
        self.drop()
        raise error

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def _lost(self, stderr: str = "") -> DeviceLostError:
        output = self._said() if self._master is not None else ""
        why = last_words(output) or last_words(stderr) or "no reason given"
        return DeviceLostError(f"the connection broke: {why}", where=self.host)

    def _explained(self, output: str) -> TargetError:
        """The error for a connection that did not come about, with what mends it."""
        login = shlex.join([*self._plain, self.host])
        if "IDENTIFICATION HAS CHANGED" in output:
            return TargetError(
                "the device's host key is not the one that is known",
                where=self.host,
                hint=f"if it was set up anew: {self._forget(output)}; then accept the new: {login}",
            )
        if "Host key verification failed" in output:
            return TargetError(
                "the device's host key is not known",
                where=self.host,
                hint=f"look at it and accept it once: {login}",
            )
        if "Permission denied" in output:
            return TargetError(
                f"it does not let us in: {last_words(output)}",
                where=self.host,
                hint=f"a key without a question is needed: ssh-add, or {self._copy_id()}",
            )
        if REFUSED.search(output):
            return TargetError(f"it does not let us in: {last_words(output)}", where=self.host)
        if "onfiguration" in output or "onfig file" in output:
            return TargetError(last_words(output), where=self.host, hint="mend ssh's configuration")
        is_unknown = "Could not resolve hostname" in output
        return DeviceLostError(
            f"cannot be reached: {last_words(output) or f'no answer within {self._limit_s} s'}",
            where=self.host,
            hint="is the name right, in the target's [transport] host?"
            if is_unknown
            else f"is it on, and does its ssh server run? try: {login}",
            may_pass=not is_unknown,
        )

    def _forget(self, output: str) -> str:
        """The command that removes the known key that ssh complains of."""
        key_file = re.search(r"Offending \S+ key in (.+):\d+", output)
        options = self.configuration()
        name = options.get("hostkeyalias") or options.get("hostname", self.host)
        port = options.get("port", "22")
        entry = name if port == "22" or "hostkeyalias" in options else f"[{name}]:{port}"
        file = ["-f", key_file[1]] if key_file else []
        return shlex.join(["ssh-keygen", *file, "-R", entry])

    def _copy_id(self) -> str:
        return shlex.join(["ssh-copy-id", *self._plain[1:], self.host])


def _no_ssh(error: OSError) -> TargetError:
    hint = "install OpenSSH's client (Debian, Ubuntu: apt-get install openssh-client)"
    return TargetError(f"ssh cannot be started: {error.strerror}", hint=hint)


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """A private folder with a path short enough for a socket."""
    short = len(tempfile.gettempdir()) <= LONGEST_SOCKET_FOLDER
    with work_folder(None if short else Path("/tmp")) as folder:  # noqa: S108
        yield folder
