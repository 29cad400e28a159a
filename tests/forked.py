"""The `edgespiral` command in processes of their own that do not import everything anew.

For what is done to a process, such as a kill. A server has PyTorch and the engines imported, and
each command is a fork of it: a real process with streams, signals and an exit code of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import warm_python

from edgespiral.__main__ import main

IMPORTED = [
    "edgespiral.api",
    "edgespiral.cli.app",
    "edgespiral.spiral.run",
    "torch._dynamo",
    "timm",
]
STREAMS = {1: "stdout", 2: "stderr"}


class Forked:
    """A command that goes on while the test looks at it; used as `subprocess.Popen` is.

    Args:
        words: as in a shell, without the program.
        environment: variables beside those of this process.
    """

    def __init__(self, *words: object, **environment: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self._folder = tempfile.TemporaryDirectory()
        argv = ["edgespiral", *map(str, words)]
        here = (str(Path.cwd()), {**os.environ, **environment}, self._folder.name)
        given = (argv, *here, warm_python.sockets())
        # Ended with this process, should a test forget it.
        self._process = context.Process(target=_run, args=given, daemon=True)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """The exit code, less than 0 for a signal; None while it goes on."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """As `returncode`."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still goes on."""
        assert self._process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it outright."""
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; what it printed to both streams."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, "it goes on after its time"
        stdout, stderr = (Path(self._folder.name, name).read_text() for name in STREAMS.values())
        self._folder.cleanup()
        return stdout, stderr


def _run(
    argv: list[str],
    folder: str,
    environment: dict[str, str],
    streams: str,
    sockets: dict[tuple[str, ...], str],
) -> None:
    for number, name in STREAMS.items():
        with Path(streams, name).open("wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    warm_python.adopt(sockets)
    main()
