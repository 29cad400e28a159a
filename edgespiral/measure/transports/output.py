"""The output of a command that is waited for, which may be neither late nor endless."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any

from edgespiral.core.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Mapping

CHUNK_BYTES = 1 << 16
# More than any answer has; what goes on for ever would fill this machine's memory.
MOST_BYTES = 1 << 29
# More than any engine or any outputs that are fetched: a file that grows for ever ends here.
MOST_FILE_BYTES = 1 << 33


def collected(
    process: subprocess.Popen[Any], timeout_s: float, most_bytes: int = MOST_BYTES
) -> tuple[bytes, bytes]:
    """Standard output and standard error of a process, when it has ended.

    Args:
        process: both are pipes of bytes that nobody else reads.
        timeout_s: for all of it.
        most_bytes: of both together.

    Raises:
        subprocess.TimeoutExpired: it has not ended in time.
        MeasurementError: it says more.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    buffers: Mapping[IO[bytes], bytearray] = {
        process.stdout: bytearray(),
        process.stderr: bytearray(),
    }
    end_s = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as waiting:
        for stream in buffers:
            waiting.register(stream, selectors.EVENT_READ, buffers[stream])
        while waiting.get_map():
            for key, _ in waiting.select(max(0.0, end_s - time.monotonic())):
                chunk = os.read(key.fd, CHUNK_BYTES)
                key.data.extend(chunk)
                if not chunk:
                    waiting.unregister(key.fileobj)
            check_size(sum(map(len, buffers.values())), most_bytes)
            if waiting.get_map() and time.monotonic() >= end_s:
                stderr = bytes(buffers[process.stderr])
                raise subprocess.TimeoutExpired(process.args, timeout_s, stderr=stderr)
    process.wait(max(0.0, end_s - time.monotonic()))
    return bytes(buffers[process.stdout]), bytes(buffers[process.stderr])


def check_size(size_bytes: int, most_bytes: int) -> None:
    """Refuse an output that is longer than any that was asked for.

    Raises:
        MeasurementError: it is.
    """
    if size_bytes > most_bytes:
        raise MeasurementError(
            f"the device's answer is not valid: it says more than {most_bytes >> 20} MiB",
            hint="see what its shell or the program that runs there prints",
        )
