"""This machine: a temporary work folder and child processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from edgespiral.core.errors import TargetError
from edgespiral.core.system.files import make_folder, writing
from edgespiral.core.system.outlived import end_group, watch
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.completed import Completed
from edgespiral.measure.settings import TransportSettings
from edgespiral.measure.transports.base import THIS_MACHINE, TransportPlugin, too_late
from edgespiral.measure.transports.output import collected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")


class LocalSettings(TransportSettings):
    """This machine, in a process of its own."""

    kind: Literal["local"]


class LocalTransport:
    """Runs commands here, with the Python that runs this.

    Args:
        work: where the work folder is made; the system's temporary folder if None.
    """

    def __init__(self, work: Path | None = None) -> None:
        self._work = work
        self._folder: Path | None = None
        self._open = ExitStack()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closing = False

    @property
    def python(self) -> str:
        """The interpreter that runs this."""
        return sys.executable

    @property
    def folder(self) -> Path:
        """The work folder, which exists inside the context."""
        if self._folder is None:
            raise RuntimeError("the transport is not open")
        return self._folder

    def __enter__(self) -> Self:
        """Make the work folder."""
        self._is_closing = False
        try:
            self._folder = self._open.enter_context(work_folder(self._work))
        except OSError as error:
            where = error.filename or tempfile.gettempdir()
            raise TargetError(
                f"cannot make a work folder: {error.strerror}", where=where
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what still runs, for another thread, and remove the work folder."""
        self._is_closing = True
        for process in tuple(self._running):
            end_group(process)
        self._open.close()
        self._folder = None

    def way(self) -> dict[str, str]:
        """Where work is done."""
        return {"work folder": str(self.folder)}

    def repeated(self, step: Callable[[], T]) -> T:
        """What `step` returns: this machine is not lost."""
        return step()

    def push(self, local: Path, remote_name: str) -> None:
        """Copy `local` into the work folder."""
        goal = self.folder / remote_name
        try:
            with writing(make_folder(goal.parent) / goal.name):
                shutil.copyfile(local, goal)
        except OSError as error:
            raise TargetError(f"cannot be copied: {error.strerror}", where=str(local)) from error

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run `argv` in the work folder; it outlives neither its time nor this process."""
        try:
            with self._started(argv) as process:
                stdout, stderr = collected(process, timeout_s)
        except subprocess.TimeoutExpired as error:
            raise too_late(timeout_s, error.stderr) from error
        except OSError as error:
            raise TargetError(f"cannot be started: {error.strerror}", where=argv[0]) from error
        texts = (output.decode(errors="replace") for output in (stdout, stderr))
        return Completed(process.returncode, *texts)

    @contextmanager
    def _started(self, argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A process in a group of its own, which ends with the context and with this process."""
        with watch() as tie, self._process(argv) as process:
            self._running.add(process)
            if self._is_closing:  # by another thread, which may not have seen this process
                end_group(process)
            try:
                tie(process)
                yield process
            finally:
                end_group(process)
                self._running.discard(process)

    def _process(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        # The command is this package's own; nothing of it goes through a shell.
        return subprocess.Popen(  # noqa: S603
            argv,
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def pull(self, remote_name: str, local: Path) -> None:
        """Copy a file of the work folder to `local`."""
        try:
            stream = (self.folder / remote_name).open("rb")
        except OSError as error:
            raise TargetError(f"cannot be fetched: {error.strerror}", where=remote_name) from error
        with stream, writing(local), local.open("wb") as goal:
            shutil.copyfileobj(stream, goal)


PLUGIN = TransportPlugin(
    LocalSettings,
    make=lambda _settings, work: LocalTransport(work),
    device_id=lambda _settings: THIS_MACHINE,
    is_local=True,
)
