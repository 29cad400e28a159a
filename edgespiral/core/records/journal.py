"""The run's journal: an append-only file of one JSON record a line, safe against a crash."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import EVENT, SCHEMA
from edgespiral.core.records.schema_1 import Upgrade
from edgespiral.core.records.soundness.figures import require_figures
from edgespiral.core.records.soundness.order import require_order
from edgespiral.core.system.files import read_bytes, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgespiral.core.records.events import Event

# A link is not followed: what it points at would be cut off after its last line.
HOW = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Journal:
    """The journal at `path`; the file need not exist yet.

    Attributes:
        path: of the file.
        hears: is told of each record that is added, once it is on the disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hears: Callable[[Event], None] | None = None

    def append(self, event: Event) -> None:
        """Add one record; when this returns it is on the disk, and `hears` was told.

        A torn last line, left by a crash during an earlier append, is cut off first.

        Raises:
            RunFolderError: the file cannot be written.
        """
        line = EVENT.dump_json(event) + b"\n"
        try:
            created = not self.path.exists()
            descriptor = os.open(self.path, HOW, 0o666)
            try:
                _require_regular(descriptor)
                _write_after_last_line(descriptor, line)
            finally:
                os.close(descriptor)
            if created:
                sync(self.path.parent)
        except OSError as error:
            raise RunFolderError(
                f"cannot write the journal: {error.strerror or error}",
                where=str(self.path),
                hint="check the folder's permissions and free space, then go on with --resume",
            ) from error
        if self.hears is not None:
            self.hears(event)

    def read(self) -> list[Event]:
        """All whole records, in order; see the module's `read`. Empty where no file exists."""
        return read(self.path) if self.path.exists() else []


def read(path: Path) -> list[Event]:
    """The records of the journal at `path`, in order, without a torn last line.

    Raises:
        RunFolderError: no such file, or a damaged line, with its number.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise RunFolderError(
            f"cannot read the journal: {error.strerror}",
            where=str(path),
            hint="name the folder of a run",
        ) from error
    whole, upgrade = content.split(b"\n")[:-1], Upgrade()
    return [_parsed(line, upgrade, path, number) for number, line in enumerate(whole, start=1)]


def read_run(path: Path) -> list[Event]:
    """The records of the journal at `path`, which one run wrote one after the other.

    Raises:
        RunFolderError: as `read` and `require_sound`.
    """
    events = read(path)
    require_sound(events, path)
    return events


def require_sound(events: Sequence[Event], path: Path) -> None:
    """Refuse records that no run has written.

    Raises:
        RunFolderError: as `require_order` and `require_figures`.
    """
    require_order(events, path)
    require_figures(events, path)


def _parsed(line: bytes, upgrade: Upgrade, path: Path, number: int) -> Event:
    try:
        return EVENT.validate_json(_of_today(line, upgrade))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise RunFolderError(
            f"damaged record: {f'{key}: ' if key else ''}{what}",
            where=f"{path}:{number}",
            hint="the run cannot be read; choose another --out",
        ) from error


def _of_today(line: bytes, upgrade: Upgrade) -> bytes:
    """A line as it would be written today; what is no record is left for validation to tell."""
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or record.get("schema_version") == SCHEMA:
            return line
        return json.dumps(upgrade.record(record)).encode()
    except (ValueError, RecursionError):
        return line


def _write_after_last_line(descriptor: int, line: bytes) -> None:
    end = _end_of_last_line(descriptor)
    os.ftruncate(descriptor, end)
    try:
        _write_all(descriptor, end, line)
    except OSError:
        # A full disk: leave the journal as it was.
        os.ftruncate(descriptor, end)
        raise
    os.fsync(descriptor)


def _end_of_last_line(descriptor: int, block_bytes: int = 65536) -> int:
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - block_bytes)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _write_all(descriptor: int, offset: int, data: bytes) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        offset += written
        data = data[written:]


def _require_regular(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
