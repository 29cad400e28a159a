"""What carries files and commands to a device."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from edgespiral.core.errors import MeasurementError, TargetError
from edgespiral.core.registry import Registry
from edgespiral.measure.completed import last_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.profile import TargetProfile

T = TypeVar("T")


class DeviceLostError(TargetError):
    """The device does not answer, or no longer does; it may come back.

    Args:
        may_pass: whether it may come back where it was never reached: a name that nothing has is
            more likely a wrong one.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        may_pass: bool = True,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.may_pass = may_pass


class Transport(Protocol):
    """A way to a device, open inside its context; the work folder there is gone afterwards."""

    @property
    def python(self) -> str:
        """The command that starts Python on the device."""

    def __enter__(self) -> Self:
        """Open the way and make a work folder on the device."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the work folder and close the way, after an error too."""

    def way(self) -> dict[str, str]:
        """What there is to know of the way to the device, by name.

        Raises:
            TargetError: it cannot be used.
        """

    def repeated(self, step: Callable[[], T]) -> T:
        """What `step` returns; it is begun anew if the device was lost in it and is back.

        The work folder may then be empty: `step` pushes everything that it needs.

        Raises:
            DeviceLostError: the device did not come back.
        """

    def push(self, local: Path, remote_name: str) -> None:
        """Copy a file to `remote_name`, a path below the work folder, whose folders are made.

        Raises:
            TargetError: it cannot be written there.
            DeviceLostError: the connection broke; what was there is unchanged.
        """

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command in the work folder and wait for its end.

        Raises:
            TargetError: it cannot be started.
            MeasurementError: it did not end within `timeout_s` and was killed.
            DeviceLostError: the connection broke; what still runs is ended with the next.
        """

    def pull(self, remote_name: str, local: Path) -> None:
        """Copy a file of the work folder to `local`.

        Raises:
            TargetError: there is no such file.
            RunFolderError: it cannot be written here.
            DeviceLostError: the connection broke; `local` is unchanged.
        """


TRANSPORTS: Registry[Callable[[TargetProfile, Path | None], Transport]] = Registry("transport")


@contextmanager
def endless_input() -> Iterator[int]:
    """An input without content that ends with this process at the latest."""
    end, kept = os.pipe()
    try:
        yield end
    finally:
        os.close(end)
        os.close(kept)


def too_late(timeout_s: float, stderr: bytes | str | None) -> MeasurementError:
    """The error for a command that was killed after `timeout_s`, with what it had last said."""
    text = stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr
    tail = last_words(text or "")
    return MeasurementError(
        f"no answer within {timeout_s:g} s{f': {tail}' if tail else ''}",
        hint="raise timeout_s in the target's [transport], or measure fewer models at once",
    )
