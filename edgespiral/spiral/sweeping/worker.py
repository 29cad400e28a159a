"""What a worker of a Ray cluster does for a run of a sweep.

It is sent there as it is, since a worker need not have this package to say that it lacks it; so it
uses nothing of the package, and nothing but Python's own library.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = "edgespiral"
USAGE, RUN_FOLDER = 2, 8
# As in `core/system/outlived.py`: a worker that is killed leaves no run behind.
WATCH = 'read -r group && { while read -r _; do :; done; kill -9 "-$group"; } 2>/dev/null'


def why_unfit(folder: str, needed_version: str) -> tuple[int, str]:
    """Why this worker cannot do runs of a sweep, with the exit code for it; (0, "") if it can.

    Args:
        folder: of the sweep.
        needed_version: of the package.
    """
    host = socket.gethostname()
    try:
        installed = version(PACKAGE)
    except PackageNotFoundError:
        mend = f"install '{PACKAGE}[ray]' there, in the Python that Ray runs"
        return USAGE, f"the Ray worker on {host} has no {PACKAGE}; {mend}"
    if installed != needed_version:
        return USAGE, f"the Ray worker on {host} has {PACKAGE} {installed}, not {needed_version}"
    if not Path(folder).is_dir():
        mend = "choose an --out on a file system that all workers share"
        return RUN_FOLDER, f"the Ray worker on {host} does not see {folder}; {mend}"
    return 0, ""


def run_on_worker(
    words: list[str], log: str, environment: dict[str, str], needed_version: str
) -> tuple[int, str]:
    """Run the package's command with `words` to its end.

    Args:
        words: of the command, without the interpreter; paths are absolute.
        log: a file that takes what it prints.
        environment: variables that it has beside this process's.
        needed_version: of the package.

    Returns:
        Its exit code, and why it could not begin where it could not.
    """
    code, why = why_unfit(str(Path(log).parent), needed_version)
    if why:
        return code, why
    how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(log, how, 0o666), "wb") as file:  # noqa: PTH123 (a descriptor has no path)
        process = subprocess.Popen(  # noqa: S603 (the command is the package's own)
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=environment["PWD"],
            start_new_session=True,
        )
        shell = ["/bin/sh", "-c", WATCH]
        with subprocess.Popen(shell, stdin=subprocess.PIPE) as watch:  # noqa: S603 (as above)
            assert watch.stdin is not None
            watch.stdin.write(f"{process.pid}\n".encode())
            watch.stdin.flush()
            try:
                return process.wait(), ""
            except BaseException:  # cancelled: the run keeps what it has done
                process.send_signal(signal.SIGINT)
                process.wait()
                raise
            finally:
                watch.kill()
