"""Processes that are not children of the tests'."""

from __future__ import annotations

import time

import psutil


def await_end(pid: int, within_s: float = 60.0) -> None:
    """Wait until a process has ended, whether or not anybody has asked how."""
    until = time.monotonic() + within_s
    while _lives(pid):
        assert time.monotonic() < until, f"process {pid} has not ended"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
