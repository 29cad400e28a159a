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


WITHIN = """
import signal, time
from edgespiral.core.errors import ModelError
from edgespiral.core.system.time_limit import limited
with limited(60, "the whole"):
    try:
        with limited(0.05, "a part"):
            time.sleep(30)
    except ModelError as error:
        print(error)
    print(0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60)
try:
    with limited(0.2, "the whole"):
        try:
            with limited(0.1, "a part"):
                time.sleep(30)
        except ModelError:
            time.sleep(30)
except ModelError as error:
    print(error)
"""


def test_a_part_may_have_a_limit_that_comes_sooner():
    told = subprocess.run(
        [sys.executable, "-c", WITHIN], capture_output=True, text=True, check=True
    )
    part, goes_on, whole = told.stdout.splitlines()
    assert part.startswith("a part took more than 0 s; ")
    assert goes_on == "True"
    assert whole.startswith("the whole took more than 0 s; ")
