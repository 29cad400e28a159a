"""Processes that are tied to another, which is killed."""

import os
import signal
import subprocess
import sys

from edgespiral.core.system.outlived import end_group, watch

# A shell whose own child holds a pipe open too, tied to the process that begins it.
PARENT = """
import os, subprocess, sys
from edgespiral.core.system.outlived import watch
pipe = int(sys.argv[1])
with watch() as tie:
    command = ["/bin/sh", "-c", "sleep 600 & wait"]
    process = subprocess.Popen(command, pass_fds=[pipe], start_new_session=True)
    tie(process)
    os.write(pipe, b"ready\\n")
    os.close(pipe)
    process.wait()
"""


def test_all_of_a_group_ends_with_a_process_that_is_killed() -> None:
    reads, writes = os.pipe()
    command = [sys.executable, "-c", PARENT, str(writes)]
    parent = subprocess.Popen(command, pass_fds=[writes])
    os.close(writes)
    with open(reads, "rb") as said:  # noqa: PTH123 (a descriptor has no path)
        assert said.readline() == b"ready\n"
        parent.send_signal(signal.SIGKILL)
        # Its end is read once nobody holds the pipe: the shell and what it has started are gone.
        assert said.read() == b""
    assert parent.wait() == -signal.SIGKILL


def test_one_that_is_not_needed_any_more_goes_with_what_it_has_started() -> None:
    reads, writes = os.pipe()
    command = ["/bin/sh", "-c", f"sleep 600 & echo ready >/dev/fd/{writes}; wait"]
    with watch() as tie:
        process = subprocess.Popen(command, pass_fds=[writes], start_new_session=True)
        tie(process)
        os.close(writes)
        with open(reads, "rb") as said:  # noqa: PTH123 (a descriptor has no path)
            assert said.readline() == b"ready\n"
            end_group(process)
            assert said.read() == b""
    assert process.returncode == -signal.SIGKILL
