"""An end to finding what of a model can be cut, in processor time.

Tracing, groups and trial cuts share it. What counts is what the thread has computed, not the clock,
so a busy machine refuses no model that a quiet one takes.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

WHAT = "finding what can be cut"
VARIABLE = "EDGESPIRAL_ANALYSIS_SECONDS"
MOST_SECONDS = 30.0
# What an analysis without a failing trial takes at most, in passes of one sample: of large models
# nearly all of it.
PASSES = 50
# Between looks; so the error is raised again if somebody has taken it for a failure of theirs.
LEAST_SECONDS = 0.2


@dataclass
class _End:
    at_s: float
    seconds: float
    what: str


class _Ends(threading.local):
    """Those of one thread, the nearest last."""

    def __init__(self) -> None:
        self.stack: list[_End] = []
        self.is_timed = False


_own = _Ends()


@contextmanager
def analysing() -> Iterator[None]:
    """Bound the body; one within another shares its end.

    The end rests on a timer of the operating system, which only the main thread can have. In other
    threads, and where a profiler has the timer, only `seconds_left` tells.

    Raises:
        ModelError: the body has computed for more than `MOST_SECONDS` and `PASSES` passes
            (`allow_for_passes`), or for what `$EDGESPIRAL_ANALYSIS_SECONDS` says in their place.
        UsageError: that is no number of seconds.

    Example:
        >>> with analysing():
        ...     seconds_left() <= 30
        True
    """
    if _own.stack:
        yield
        return
    with _timer(), _ending(_stated_seconds() or MOST_SECONDS, WHAT):
        yield


def allow_for_passes(pass_s: float) -> None:
    """Put the end off by what `PASSES` passes take, unless the user has stated it.

    Args:
        pass_s: processor time of a pass of one sample through the model.
    """
    if _own.stack and _stated_seconds() is None:
        end, seconds = _own.stack[0], MOST_SECONDS + PASSES * pass_s
        end.at_s += max(0.0, seconds - end.seconds)
        end.seconds = max(end.seconds, seconds)
        _look_later()


@contextmanager
def share_of_analysis(share: float, what: str) -> Iterator[None]:
    """Bound a part, `what`, by a share of the time that is left, if there is an end.

    Raises:
        ModelError: it took more.
    """
    if not _own.stack:
        yield
        return
    with _ending(share * seconds_left(), what):
        yield


def seconds_left() -> float:
    """Processor time until the nearest end; infinite where there is none."""
    return _own.stack[-1].at_s - time.thread_time() if _own.stack else math.inf


def _stated_seconds() -> float | None:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(
            f"not a number of seconds: {text!r}",
            where=f"${VARIABLE}",
            hint="give processor time, such as 300",
        )
    return seconds


@contextmanager
def _timer() -> Iterator[None]:
    """The operating system's timer of processor time, where it can be had, for all ends within."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "ITIMER_PROF") or signal.getitimer(signal.ITIMER_PROF)[0]:
        yield
        return
    before = signal.signal(signal.SIGPROF, _look)
    _own.is_timed = True
    try:
        yield
    finally:
        _own.is_timed = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _ending(seconds: float, what: str) -> Iterator[None]:
    _own.stack.append(_End(time.thread_time() + seconds, seconds, what))
    _look_later()
    try:
        yield
    finally:
        _own.stack.pop()
        _look_later()


def _look_later() -> None:
    """Other threads count for the timer and not for the end, so it may take several looks."""
    if _own.is_timed and _own.stack:
        signal.setitimer(signal.ITIMER_PROF, max(seconds_left(), LEAST_SECONDS))


def _look(_number: int, _frame: FrameType | None) -> None:
    _look_later()
    if _own.stack and seconds_left() <= 0:
        end = _own.stack[-1]
        raise ModelError(
            f"{end.what} took more than {end.seconds:.0f} s of processor time",
            hint=f"a smaller input size makes it quicker, and {VARIABLE}=300 allows it more",
        )
