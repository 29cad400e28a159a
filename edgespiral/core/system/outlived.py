"""Processes that end with this one, however it ends: killed, it can say nothing to them."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Ends a group of processes, whose number it is told, when its input ends: with this process.
WATCH = 'read -r group && { while read -r _; do :; done; kill -9 "-$group"; } 2>/dev/null'


@contextmanager
def watch() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """What ties a process to this one until the end of the context.

    It is called with the process, which leads a group of its own (`start_new_session`): where this
    process is gone inside the context, all of that group is killed.

    Raises:
        OSError: there is no shell.
    """
    command = ["/bin/sh", "-c", WATCH]
    with subprocess.Popen(  # noqa: S603 (the command is this package's own)
        command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    ) as watching:

        def tie(process: subprocess.Popen[bytes]) -> None:
            assert watching.stdin is not None
            watching.stdin.write(f"{process.pid}\n".encode())
            watching.stdin.flush()

        try:
            yield tie
        finally:
            # Before its input ends, or it would do what it waits to do.
            watching.kill()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs and leads a group, with all that it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
