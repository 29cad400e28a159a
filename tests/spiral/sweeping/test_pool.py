from __future__ import annotations

import subprocess
import sys

import pytest

from edgespiral.spiral.sweeping.pool import Pool

ECHO = "import sys; sys.exit(int(sys.argv[1]))"
WAITS = """
import signal, sys
def stopped(*_):
    open(sys.argv[1], "w").write("kept")
    sys.exit(130)
signal.signal(signal.SIGINT, stopped)
print("ready", flush=True)
signal.pause()
"""


def test_each_ends_with_its_code():
    pool = Pool(lambda code: subprocess.Popen([sys.executable, "-c", ECHO, str(code)]), 2)
    assert sorted(pool.run([3, 0, 7])) == [(0, 0), (3, 3), (7, 7)]


def test_where_the_caller_stops_those_that_live_are_interrupted(tmp_path):
    begun = []

    def start(name):
        begun.append(name)
        if name == "quick":
            return subprocess.Popen([sys.executable, "-c", ECHO, "0"])
        process = subprocess.Popen(
            [sys.executable, "-c", WAITS, str(tmp_path / name)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process.stdout as told:
            assert told.readline() == b"ready\n"
        return process

    def one_ends():
        for _ in Pool(start, 2).run(["slow", "quick", "waits", "never"]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one_ends()
    assert begun[:2] == ["slow", "quick"]
    assert "never" not in begun
    assert all((tmp_path / name).read_text() == "kept" for name in begun if name != "quick")
