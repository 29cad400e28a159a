from __future__ import annotations

import subprocess
import sys

# The runner's own limit on each test is an alarm, too, and of those there is one a process.
SLOW = """
import signal, time
from edgespiral.core.errors import ModelError
from edgespiral.core.system.time_limit import limited
with limited(60, "waiting"):
    print(signal.getitimer(signal.ITIMER_REAL)[0] > 0)
print(signal.getitimer(signal.ITIMER_REAL)[0] == 0)
try:
    with limited(0.05, "waiting"):
        with limited(60, "something within"):
            time.sleep(30)
except ModelError as error:
    print(error)
"""


def test_what_takes_too_long_ends_with_a_line_and_leaves_no_alarm_behind():
    told = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True, check=True)
    alarm, none_after, line = told.stdout.splitlines()
    assert (alarm, none_after) == ("True", "True")
    assert line.startswith("waiting took more than 0 s; ")
