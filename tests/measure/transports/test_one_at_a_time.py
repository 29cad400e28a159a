from __future__ import annotations

import subprocess
import sys

from edgespiral.measure.transports.one_at_a_time import SHARED, alone_on

HOLDS = """
import sys
from edgespiral.measure.transports.one_at_a_time import alone_on
print("asks", flush=True)
with alone_on(sys.argv[1]):
    print("holds", flush=True)
"""


def other(device):
    return subprocess.Popen(
        [sys.executable, "-c", HOLDS, device], stdout=subprocess.PIPE, text=True
    )


def test_a_device_is_held_by_one_process_and_others_wait(monkeypatch):
    monkeypatch.setenv(SHARED, "1")
    with alone_on("a"):
        waiting, free = other("a"), other("b")
        assert free.communicate()[0].split() == ["asks", "holds"]
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "asks\n"
        assert waiting.poll() is None
    with waiting:
        assert waiting.stdout.readline() == "holds\n"


def test_nothing_is_held_where_nobody_shares(monkeypatch, tmp_path):
    monkeypatch.delenv(SHARED, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with alone_on("a"), alone_on("a"):
        assert not list(tmp_path.iterdir())
