"""The lock of a folder that two commands might work in at once."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Iterator

HELD_LOCKS = Path("/proc/locks")
LOOK_EVERY_S = 0.1
# For so long a process that holds a lock may be stopped (Ctrl-Z) and still be waited for.
STOPPED_FOR_S = 30.0
HOW = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def locked(folder: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of `folder`, which exists; it is let go of at the end, and by a killed process.

    The folder itself is locked and no file in it, so nothing is written where another's work lies,
    and no link that somebody put there is followed. On a network file system only the processes of
    one host see each other.

    Args:
        folder: what is locked.
        wait_s: how long to wait for another process that holds it.

    Raises:
        RunFolderError: another process holds it, or is stopped and so never lets go of it, or
            there is no such folder.
    """
    try:
        descriptor = os.open(folder, HOW)
    except OSError as error:
        raise _not_lockable(folder, error) from error
    try:
        _take(descriptor, folder, time.monotonic() + wait_s)
        yield
    finally:
        # Processes that load data inherit the descriptor, so closing it may not let go.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _take(descriptor: int, folder: Path, until_s: float) -> None:
    running_s = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until_s:
                raise _in_use(descriptor, folder) from error
            if not _is_stopped(holder := _holder(os.fstat(descriptor))):
                running_s = time.monotonic()
            elif time.monotonic() >= running_s + STOPPED_FOR_S:
                raise _held_by_stopped(holder, folder) from error
            time.sleep(LOOK_EVERY_S)
        except OSError as error:
            raise _not_lockable(folder, error) from error
        else:
            return


def _not_lockable(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot be locked: {error.strerror}", where=str(folder), hint="choose another --out"
    )


def _in_use(descriptor: int, folder: Path) -> RunFolderError:
    holder = _holder(os.fstat(descriptor))
    named = "" if holder is None else f", process {holder}"
    return RunFolderError(
        f"another edgespiral is working in this folder{named}",
        where=str(folder),
        hint="wait for it, or choose another --out",
    )


def _is_stopped(process: int | None) -> bool:
    import psutil

    try:
        return process is not None and psutil.Process(process).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _held_by_stopped(process: int | None, folder: Path) -> RunFolderError:
    return RunFolderError(
        f"process {process} holds it and is stopped",
        where=str(folder),
        hint=f"let it go on (kill -CONT {process}) or end it (kill -KILL {process})",
    )


def _holder(status: os.stat_result) -> int | None:
    """The process that holds the lock of a file, where the system tells."""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        rows = [line.split() for line in HELD_LOCKS.read_text(encoding="ascii").splitlines()]
    except OSError:
        return None
    processes = (int(row[4]) for row in rows if row[1:2] == ["FLOCK"] and row[5:6] == [device])
    return next((process for process in processes if process > 0), None)
