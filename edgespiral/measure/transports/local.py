"""This machine: a temporary work folder and child processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from edgespiral.core.errors import TargetError
from edgespiral.core.files import make_folder, writing
from edgespiral.measure.completed import Completed
from edgespiral.measure.transports.base import too_late

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from edgespiral.measure.profile import TargetProfile

T = TypeVar("T")


class LocalTransport:
    """Runs commands here, with the Python that runs this.

    Args:
        work: where the work folder is made; the system's temporary folder if None.
    """

    def __init__(self, work: Path | None = None) -> None:
        self._work = work
        self._folder: Path | None = None

    @classmethod
    def from_profile(cls, _profile: TargetProfile, work: Path | None) -> LocalTransport:
        """The transport that a profile describes."""
        return cls(work)

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
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="edgespiral-", dir=self._work))
        except OSError as error:
            raise TargetError(
                f"cannot make a work folder: {error.strerror}", where=error.filename
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the work folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
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
        """Run `argv` in the work folder."""
        try:
            # The command is this package's own; nothing of it goes through a shell.
            done = subprocess.run(  # noqa: S603
                argv,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise too_late(timeout_s, error.stderr) from error
        except OSError as error:
            raise TargetError(f"cannot be started: {error.strerror}", where=argv[0]) from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def pull(self, remote_name: str, local: Path) -> None:
        """Copy a file of the work folder to `local`."""
        try:
            with writing(local):
                shutil.copyfile(self.folder / remote_name, local)
        except OSError as error:
            raise TargetError(f"cannot be fetched: {error.strerror}", where=remote_name) from error
