"""A connection to a device's shell that keeps a work folder there, however it comes about."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from edgespiral.core.errors import TargetError
from edgespiral.measure.transports.device_scripts import (
    PREFIX,
    Reply,
    ask_command,
    keep_command,
    marked_reply,
)
from edgespiral.measure.transports.output import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.measure.transports.base import DeviceLostError


class Link(ABC):
    """Runs `device_scripts` in a work folder, which it finds again after it was dropped."""

    def __init__(self) -> None:
        self.work = ""

    @property
    @abstractmethod
    def host(self) -> str:
        """What the device is called in messages."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""

    @abstractmethod
    def described(self) -> str:
        """Whom this connects to, and how."""

    @abstractmethod
    def close(self) -> bool:
        """Remove the work folder and disconnect; False where the folder may still be there."""

    @abstractmethod
    def drop(self) -> None:
        """Disconnect, if connected; the device keeps the work folder for a while."""

    def open(self, workdir: str) -> None:
        """Connect, and make a work folder below `workdir`, or find that of before again.

        Raises:
            DeviceLostError: the device cannot be reached.
            TargetError: it does not let us in, or there is no place for the work folder.
        """
        self.drop()
        mark = secrets.token_hex(8)
        state = self._keep(keep_command(workdir, self.work, mark), mark)
        word, _, folder = state.partition(" ")
        # Commands run and files are written there: it is what was asked for, or none.
        name = PurePosixPath(self.work).name or f"{PREFIX}{mark}"
        if word != "open" or not folder.startswith("/") or PurePosixPath(folder).name != name:
            self.drop()
            raise TargetError(
                "cannot make a work folder",
                where=f"{self.host}:{workdir}",
                hint="name one that this user may write to: workdir, in the target's [transport]",
            )
        self.work = folder

    def ask(
        self,
        script: str,
        *arguments: str,
        content: IO[bytes] | None = None,
        timeout_s: float,
        most_bytes: int = MOST_BYTES,
    ) -> Reply:
        """Run a script of `device_scripts` in the work folder; its input is `content`.

        Args:
            most_bytes: of its output.

        Raises:
            MeasurementError: it says more than `most_bytes`.
            DeviceLostError: the connection broke before the end of the answer.
            subprocess.TimeoutExpired: there was no answer in time.
        """
        if not self.alive:
            raise self._lost()
        mark = secrets.token_hex(8)
        command = ask_command(script, mark, self.work, *arguments)
        try:
            stdout, stderr = self._run(command, content, timeout_s, most_bytes)
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error
        reply = marked_reply(stdout, stderr, mark)
        if reply is None:
            raise self._lost(stderr)
        return reply

    @abstractmethod
    def _keep(self, command: Sequence[str], mark: str) -> str:
        """Connect and start what keeps the work folder; return what it says after the mark."""

    @abstractmethod
    def _run(
        self,
        command: Sequence[str],
        content: IO[bytes] | None,
        timeout_s: float,
        most_bytes: int,
    ) -> tuple[bytes, str]:
        """Run a command; without `content` its input stays open and empty as long as it runs."""

    @abstractmethod
    def _lost(self, stderr: str = "") -> DeviceLostError:
        """The error for a connection that broke."""
