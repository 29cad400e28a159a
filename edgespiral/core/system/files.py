"""Atomic file writes, reads with a limit, and content hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from edgespiral.core.errors import EdgeSpiralError, RunFolderError, UsageError
from edgespiral.core.system.temporary import part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")
# Of so many files what was read is kept.
KEPT_FILES = 64
# What a person writes: plans, profiles, suites and recipes are a few kilobytes.
SETTINGS_BYTES = 10**6
# What this program writes: journals and results have every sample of every measurement.
RECORD_BYTES = 2**28
# With less than this left a disk is as good as full: what could not be written was longer.
ROOM_BYTES = 2**16
PAGE_BEGIN = b"<!doctype html"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed onto `path`.

    Readers see the old content or the new, never a part of it. The umask decides who may read it.

    Raises:
        RunFolderError: the folder is read-only, missing or full, or `path` is a link, a folder or
            a device, which is neither written through nor replaced.
    """
    with writing(path):
        _require_plain(path)
        with part_of(path) as temporary:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            _sync_names(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of a write to `path` that fails where it failed and why.

    An error that names a file in another folder is left as it is: it is not of this write.

    Raises:
        RunFolderError: the folder is read-only, missing or full.
    """
    try:
        yield
    except OSError as error:
        if _is_elsewhere(error, path):
            raise
        raise _unwritten(path, error) from error
    except EdgeSpiralError:
        raise
    except Exception as error:
        # Writers that are not Python's raise errors of their own for a full disk.
        full = os.strerror(errno.ENOSPC)
        if full not in str(error) and not _is_full(path.parent):
            raise
        raise _unwritten(path, OSError(errno.ENOSPC, full)) from error


def require_room(folder: Path) -> None:
    """Refuse a folder in which nothing more can be written, once something has failed there.

    Raises:
        RunFolderError: its disk is full.
    """
    if _is_full(folder):
        raise _unwritten(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _is_full(folder: Path) -> bool:
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < ROOM_BYTES


def _unwritten(path: Path, error: OSError) -> RunFolderError:
    hint = "check the folder's permissions and free space, or choose another --out"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room there; what was done before is kept, and --resume goes on from it"
    return RunFolderError(f"cannot write: {error.strerror or error}", where=str(path), hint=hint)


@contextmanager
def emptied(path: Path) -> Iterator[BinaryIO]:
    """A new or emptied file that grows as it is written to, for what is looked at meanwhile.

    Raises:
        RunFolderError: the folder is read-only, missing or full, or `path` is a link, a folder, a
            pipe or a device.
    """
    how = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with writing(path):
        _require_plain(path)
        stream = open(os.open(path, how, 0o666), "wb")  # noqa: PTH123, SIM115 (closed below)
    with stream:
        with writing(path):
            stream.truncate()
        yield stream


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_page(path: Path, html: str) -> None:
    """Write a page where somebody named a place for it, in the place of nothing but a page.

    Raises:
        UsageError: another file is there, such as one that the page tells of.
        RunFolderError: it cannot be written.
    """
    make_folder(path.parent)
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as stream:
            begin = stream.read(len(PAGE_BEGIN)).lower()
        if begin not in (b"", PAGE_BEGIN):
            what, hint = "is there already, and is no page", "name another file"
            raise UsageError(what, where=str(path), hint=hint)
    write_text(path, html)


def read_bytes(path: Path, most_bytes: int = RECORD_BYTES) -> bytes:
    """The content of a regular file; a pipe or a device is not waited for.

    Raises:
        OSError: it cannot be read, is no regular file, or is longer than `most_bytes`; `strerror`
            has the words.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise _unreadable(errno.EINVAL, "not a file's name", path) from error
    with open(descriptor, "rb") as stream:  # noqa: PTH123 (a descriptor has no path)
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise _unreadable(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(errno.EINVAL, "not a regular file", path)
        # Files of /proc have no size, and others may grow.
        content = b"" if status.st_size > most_bytes else stream.read(most_bytes + 1)
    if max(status.st_size, len(content)) > most_bytes:
        raise _unreadable(errno.EFBIG, f"longer than {most_bytes / 1e6:.3g} MB", path)
    return content


def read_text(path: Path, most_bytes: int = RECORD_BYTES) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: as `read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(path, most_bytes).decode("utf-8-sig")


def parse_json(text: str | bytes) -> object:
    """The value of a JSON document.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file that can be looked at; a name that none can have is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def kept_while_unchanged(read: Callable[[Path], T]) -> Callable[[Path], T]:
    """`read`, which is asked again of a file only once that is another, or has changed.

    That is told by its place on the disk, its size and its times, so nothing large is read for it.

    Args:
        read: tells something small of a file; errors are not kept.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     sizes = kept_while_unchanged(lambda path: len(path.read_bytes()))
        ...     before = sizes(Path(file.name))
        ...     _ = Path(file.name).write_bytes(b"four")
        ...     before, sizes(Path(file.name))
        (0, 4)
    """

    @lru_cache(maxsize=KEPT_FILES)
    def answered(path: Path, _state: tuple[int, ...] | None) -> T:
        return read(path)

    @wraps(read)
    def asked(path: Path) -> T:
        return answered(path, _state_of(path))

    return asked


def _state_of(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 (names may be no files' names)
    except (OSError, ValueError):
        return None
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_size, *times


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_files(files: Mapping[str, Path]) -> str:
    """Hex SHA-256 of files by name: of an only one its own.

    That of several is of a line `SHA-256  name` for each, as `sha256sum` writes them, in the order
    of their names.

    Raises:
        OSError: one of them cannot be read.
    """
    digests = {name: sha256_file(file) for name, file in sorted(files.items())}
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def make_folder(path: Path) -> Path:
    """Create `path` and its parents if missing.

    Raises:
        RunFolderError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"cannot create the folder: {error.strerror}",
            where=str(path),
            hint="choose another --out",
        ) from error
    return path


def sync(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_names(folder: Path) -> None:
    """Sync a folder where its file system and its permissions let that be done."""
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):
            raise


def user_cache(name: str) -> Path:
    """The folder `name` of this program in the place for caches that the system names."""
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "edgespiral" / name


def require_plain(path: Path) -> None:
    """Refuse a file to write to where a link, a folder, a pipe or a device is in its place.

    Raises:
        RunFolderError: one is.
    """
    with writing(path):
        _require_plain(path)


def _require_plain(path: Path) -> None:
    """Refuse to take the place of a link, a folder, a pipe or a device."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: ""}
    kind = kinds.get(stat.S_IFMT(mode), "no regular file")
    if kind:
        raise _unreadable(errno.EEXIST, f"{kind} is in its place", path)


def _is_elsewhere(error: OSError, path: Path) -> bool:
    # Of a copy that fails midway the second name is that of the file which was written.
    named = error.filename2 or error.filename
    return isinstance(named, str) and Path(named).parent != path.parent


def _unreadable(number: int, words: str, path: Path) -> OSError:
    return OSError(number, words, str(path))
