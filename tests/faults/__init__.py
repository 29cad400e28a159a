"""Faults on purpose; see docs/faults.md.

Devices of the tests are imported as pytest does it, which puts the folder of the tests on the path.
"""

import sys
from pathlib import Path

TESTS = str(Path(__file__).resolve().parents[1])
if TESTS not in sys.path:
    sys.path.append(TESTS)
