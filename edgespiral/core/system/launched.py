"""What PyTorch's launcher says of this process, where it has started it among others."""

from __future__ import annotations

import os
from datetime import timedelta

# What a process that hangs in a step costs the others.
STEP_TIMEOUT = timedelta(minutes=30)
RANK, SIZE, ADDRESS = "RANK", "WORLD_SIZE", "MASTER_ADDR"
LOCAL_RANK, LOCAL_SIZE = "LOCAL_RANK", "LOCAL_WORLD_SIZE"
RESTARTS = "TORCHELASTIC_RESTART_COUNT"


def is_launched() -> bool:
    """Whether the launcher, or what sets the same variables, started this process among others."""
    return ADDRESS in os.environ and RANK in os.environ and _number(SIZE) > 1


def is_restarted() -> bool:
    """Whether the launcher has started the processes again, as one of them was lost."""
    return is_launched() and _number(RESTARTS) > 0


def is_quiet() -> bool:
    """Whether another process of this machine says what all of them meet."""
    return is_launched() and _number(LOCAL_RANK) > 0


def place_on_machine() -> tuple[int, int]:
    """The number of this process on its machine, and how many there are."""
    return _number(LOCAL_RANK), _number(LOCAL_SIZE)


def _number(variable: str) -> int:
    text = os.environ.get(variable, "0")
    return int(text) if text.isdecimal() else 0
