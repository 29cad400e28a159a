"""What runs in tests are asked for, where neither a figure nor a default is what is tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# A target: this machine in short rounds.
QUICK = str(Path(__file__).with_name("quick.toml"))
# Of a run whose cut is found at once: all groups alike, by the sizes of their weights.
PLAIN = {"target": QUICK, "criterion": "l1", "allocation": "uniform"}
# Of `finished`, the run of tests/spiral that many tests look at and go on with. More than one
# pass, so that the teacher is asked about each sample once.
FINISHED = {"speedup": 1.6, "epochs": 1.25, "max_drop": 20.0, "target": QUICK}


def flags(options: Mapping[str, Any]) -> list[str]:
    """Fields of a plan as the command line has them."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
