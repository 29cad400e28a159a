"""Several processes at once, no more than asked for, all ended when one is to stop."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from edgespiral.core.system.outlived import watch

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")


@dataclass
class Pool(Generic[Item]):
    """Runs a process for each of several things.

    Attributes:
        start: begins the process of one, which leads a group of its own and so ends with this
            process where that is killed.
        jobs: how many go on at once.
    """

    start: Callable[[Item], subprocess.Popen[bytes]]
    jobs: int
    _living: list[subprocess.Popen[bytes]] = field(init=False, default_factory=list)
    _lock: Lock = field(init=False, default_factory=Lock)
    _stopping: bool = field(init=False, default=False)

    def run(self, items: Sequence[Item]) -> Iterator[tuple[Item, int]]:
        """Yield each with its process's exit code, as they end.

        Where the caller stops, by an error or Ctrl-C, the processes are interrupted, so that each
        keeps what it has done, and waited for.
        """
        with ThreadPoolExecutor(self.jobs) as executor:
            waiting = {executor.submit(self._finish, item): item for item in items}
            try:
                for done in as_completed(waiting):
                    code = done.result()
                    if code is not None:
                        yield waiting[done], code
            finally:
                self._stop()

    def _finish(self, item: Item) -> int | None:
        with self._lock:
            if self._stopping:
                return None
            process = self.start(item)
            self._living.append(process)
        try:
            with watch() as tie:
                tie(process)
                return process.wait()
        finally:
            with self._lock:
                self._living.remove(process)

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
            for process in self._living:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
