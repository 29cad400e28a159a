"""A device with a POSIX shell: all that a transport needs, over a link that runs scripts there."""

from __future__ import annotations

import hashlib
import logging
import re
import subprocess
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Self, TypeVar

from edgespiral.core.errors import TargetError
from edgespiral.core.system.files import replacing, sha256_file
from edgespiral.measure.completed import Completed, last_words
from edgespiral.measure.transports.base import DeviceLostError, too_late
from edgespiral.measure.transports.device_scripts import PULL, PUSH, RUN, SWEEP
from edgespiral.measure.transports.output import MOST_BYTES, MOST_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from edgespiral.measure.settings import ShellSettings
    from edgespiral.measure.transports.device_scripts import Reply
    from edgespiral.measure.transports.link import Link

T = TypeVar("T")

LOG = logging.getLogger("edgespiral.measure")
EXIT = re.compile(r"exit ([0-9]{1,3})")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
SWEEP_S = 60


class ShellTransport:
    """Runs commands on a device in a private work folder, over one connection.

    Files arrive whole or not at all: they are written beside their place, compared by SHA-256 and
    renamed. A file that is there already with the same content is not sent again.
    """

    def __init__(self, settings: ShellSettings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._pushed: dict[str, str] = {}
        self._is_closing = False

    @property
    def python(self) -> str:
        """The device's own interpreter."""
        return self._settings.python

    @property
    def folder(self) -> str:
        """The work folder on the device, inside the context."""
        return self._link.work

    def __enter__(self) -> Self:
        """Connect and make a work folder; what may pass by itself is waited for."""
        self._is_closing = False
        try:
            self.repeated(lambda: None)
        except BaseException:
            self._link.drop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the work folder and disconnect."""
        self._is_closing = True
        try:
            if not self._link.alive:
                self._connect()
            removed = self._link.close()
        except TargetError:
            removed = False
        if not removed:
            place = f"{self._link.host}:{self._link.work}"
            LOG.warning("%s may be left over: the device could not be reached to remove it", place)

    def way(self) -> dict[str, str]:
        """How the device is reached, and where work is done there."""
        free = self.run(["df", "-Pk", "."], self._settings.timeout_s).stdout.split()
        is_port = len(free) > 3 and free[-3].isascii() and free[-3].isdecimal()
        space = f", {1024 * int(free[-3]) / 1e9:.1f} GB free" if is_port else ""
        return {"connection": self._link.described(), "work folder": f"{self.folder}{space}"}

    def repeated(self, step: Callable[[], T]) -> T:
        """What `step` returns; tried again after pauses that add up to `retry_s` at most."""
        waited_s, pause_s = 0.0, FIRST_PAUSE_S
        while True:
            try:
                if not self._link.alive:
                    self._connect()
                return step()
            except DeviceLostError as error:
                # By another thread, so that nobody waits; or there is no such device.
                if self._is_closing or not (error.may_pass or self._link.work):
                    raise
                self._link.drop()
                pause_s = min(pause_s, self._settings.retry_s - waited_s)
                if pause_s <= 0:
                    raise self._given_up(error) from error
                LOG.warning("%s: %s; trying again in %g s", error.where, error.what, pause_s)
            time.sleep(pause_s)
            waited_s, pause_s = waited_s + pause_s, min(2 * pause_s, LONGEST_PAUSE_S)

    def push(self, local: Path, remote_name: str) -> None:
        """Copy `local` into the work folder."""
        try:
            digest = sha256_file(local)
            if self._pushed.get(remote_name) == digest:
                return
            with local.open("rb") as content:
                reply = self._timely(PUSH, remote_name, digest, content=content)
        except OSError as error:  # of the file: a link has errors of its own
            raise TargetError(f"cannot be copied: {error.strerror}", where=str(local)) from error
        if reply.state == "damaged":
            raise DeviceLostError(f"{remote_name} arrived damaged", where=self._link.host)
        self._expect(reply, "written", f"cannot write {remote_name}")
        self._pushed[remote_name] = digest

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command in the work folder; it does not outlive its time or the connection."""
        try:
            reply = self._link.ask(RUN, *argv, timeout_s=timeout_s)
        except subprocess.TimeoutExpired as error:
            self._sweep()
            raise too_late(timeout_s, error.stderr) from error
        if reply.state == "no-command":
            hint = "install it there, or name the right one in the target's profile"
            raise TargetError(f"there is no command {argv[0]}", where=self._link.host, hint=hint)
        ended = EXIT.fullmatch(reply.state)
        self._expect(reply, reply.state if ended else "exit", argv[0])
        exit_code = int(ended[1]) if ended else 0
        return Completed(exit_code, reply.stdout.decode(errors="replace"), reply.stderr)

    def pull(self, remote_name: str, local: Path) -> None:
        """Copy a file of the work folder to `local`, whole or not at all."""
        reply = self._timely(PULL, remote_name, most_bytes=MOST_FILE_BYTES)
        self._expect(reply, "read", f"cannot fetch {remote_name}")
        digest, _, content = reply.stdout.partition(b"\n")
        if digest.decode(errors="replace") != hashlib.sha256(content).hexdigest():
            raise DeviceLostError(f"{remote_name} arrived damaged", where=self._link.host)
        with replacing(local) as temporary:
            temporary.write_bytes(content)

    def _connect(self) -> None:
        # A new connection may find an empty folder: nothing counts as pushed.
        self._pushed.clear()
        self._link.open(self._settings.workdir)

    def _timely(
        self,
        script: str,
        *arguments: str,
        content: IO[bytes] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Reply:
        limit_s = self._settings.timeout_s
        try:
            return self._link.ask(
                script, *arguments, content=content, timeout_s=limit_s, most_bytes=most_bytes
            )
        except subprocess.TimeoutExpired as error:
            raise TargetError(
                f"{arguments[0]} was not copied within {limit_s:g} s",
                where=self._link.host,
                hint="raise timeout_s in the target's [transport]",
            ) from error

    def _expect(self, reply: Reply, state: str, failure: str) -> None:
        host = self._link.host
        if reply.state == "folder-lost":
            self._link.drop()
            raise DeviceLostError(f"the work folder {self._link.work} is gone", where=host)
        if reply.state != state:
            why = last_words(reply.stderr) or reply.state
            hint = "is there space, and may the user write there?" if state == "written" else None
            raise TargetError(f"{failure}: {why}", where=host, hint=hint)

    def _sweep(self) -> None:
        """End what a command that was given up has left behind."""
        with suppress(TargetError, subprocess.TimeoutExpired):
            self._link.ask(SWEEP, timeout_s=SWEEP_S)

    def _given_up(self, error: DeviceLostError) -> DeviceLostError:
        return DeviceLostError(
            f"{error.what} (tried for {self._settings.retry_s:g} s)",
            where=error.where,
            hint=error.hint or "see whether it is on, then again",
        )
