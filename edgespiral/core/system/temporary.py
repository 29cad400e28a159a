"""Temporary folders and files that the next start removes where a process died too early to.

What belongs to a living process is locked by it, so nothing is judged by its age or by a process's
number, which may be another's by now or another container's.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX, MARKER = "edgespiral-", ".edgespiral"
# The end of a file's name that has not taken its place yet.
PART = ".edgespiral-part"
LONGEST_NAME = 200

_swept: set[Path] = set()


@contextmanager
def work_folder(parent: Path | None = None) -> Iterator[Path]:
    """A private folder below `parent`, or the system's temporary folder, that is gone at the end.

    Those that dead processes of this user left there go first.

    Raises:
        OSError: it cannot be made.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    remove_dead(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        with _marked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """A new empty file beside `path`, with the rights that the umask leaves; gone at the end.

    Raises:
        OSError: it cannot be made.
    """
    remove_dead(path.parent)
    # Names are as long as their bytes.
    stem = path.name.encode()[:LONGEST_NAME].decode(errors="ignore")
    name = f".{stem}.{secrets.token_hex(4)}{PART}"
    part = path.with_name(name)
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):  # where files cannot be locked, none is taken for a dead one's
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield part
    finally:
        part.unlink(missing_ok=True)
        os.close(descriptor)


def claim_folder(folder: Path) -> Path:
    """Make a folder for a while, or find that of before again; `remove_claimed` may remove it.

    Raises:
        RunFolderError: something is there that was not made so, or it cannot be made.
    """
    check_claim(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _claim(folder).touch()
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"cannot create the folder: {error.strerror}",
            where=str(folder),
            hint="choose another --out",
        ) from error
    return folder


def check_claim(folder: Path) -> None:
    """Refuse a folder that `claim_folder` would, before anything was spent on a run.

    Raises:
        RunFolderError: something is there that was not made so.
    """
    if not _claim(folder).is_file() and os.path.lexists(folder):
        raise RunFolderError(
            "is in the way: it would be removed at the end of the run, and is not the run's",
            where=str(folder),
            hint="move it away, or choose another --out",
        )


def remove_claimed(folder: Path) -> None:
    """Remove a folder that `claim_folder` made, and no other."""
    mark = _claim(folder)
    if mark.is_file() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
        mark.unlink(missing_ok=True)


def _claim(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{MARKER}")


def remove_dead(place: Path) -> None:
    """Remove what dead processes of this user left in a folder; looked for once in a process."""
    if place in _swept:
        return
    _swept.add(place)
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
                _remove_folder(Path(entry.path))
            elif entry.name.startswith(".") and entry.name.endswith(PART):
                _remove_file(Path(entry.path))


def remove_dead_below(folder: Path) -> None:
    """`remove_dead` in a folder and in all folders below it."""
    for place, _, _ in os.walk(folder):
        remove_dead(Path(place))


def _remove_folder(folder: Path) -> None:
    if folder.lstat().st_uid == os.geteuid():
        with _dead(folder / MARKER) as is_dead:
            if is_dead:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_file(path: Path) -> None:
    with _dead(path) as is_dead:
        if is_dead:
            path.unlink(missing_ok=True)


@contextmanager
def _dead(path: Path) -> Iterator[bool]:
    """Whether a file is this user's own and its maker dead; inside, nobody else finds it so."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield False
        return
    try:
        status = os.fstat(descriptor)
        is_own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        yield is_own and _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _marked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder's marker, which has its name only once it is locked."""
    new = folder / f"{MARKER}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if _locked(descriptor):
            new.rename(folder / MARKER)
        yield
    finally:
        os.close(descriptor)
