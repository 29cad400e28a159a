"""What carries files and commands to a device."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from edgespiral.core.errors import MeasurementError, TargetError
from edgespiral.measure.completed import last_words
from edgespiral.measure.settings import TransportSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from edgespiral.measure.completed import Completed

T = TypeVar("T")

# The device that this runs on, however it is reached.
THIS_MACHINE = "this machine"


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
            MeasurementError: it is longer than any file that was asked for.
            DeviceLostError: the connection broke; `local` is unchanged.
        """


S = TypeVar("S", bound=TransportSettings)


@dataclass(frozen=True)
class TransportPlugin(Generic[S]):
    """A transport as a plug-in of the group `edgespiral.transports`, by a profile's `kind`.

    Attributes:
        settings: the record of its `[transport]` table.
        make: makes the transport of such settings; its temporary files lie in the folder, or in the
            system's where that is None.
        device_id: what two targets have in common exactly where they reach the same device. A pair
            of a word and None is the only device that is reached in the way that the word names.
        is_local: whether commands are run by the Python that runs this.
    """

    settings: type[S]
    make: Callable[[S, Path | None], Transport]
    device_id: Callable[[S], Hashable]
    is_local: bool = False


@contextmanager
def endless_input() -> Iterator[int]:
    """An input without content that ends with this process at the latest."""
    end, writing = os.pipe()
    try:
        yield end
    finally:
        os.close(end)
        os.close(writing)


def too_late(timeout_s: float, stderr: bytes | str | None) -> MeasurementError:
    """The error for a command that was killed after `timeout_s`, with what it had last said."""
    text = stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr
    tail = last_words(text or "")
    return MeasurementError(
        f"no answer within {timeout_s:g} s{f': {tail}' if tail else ''}",
        hint="raise timeout_s in the target's [transport], or measure fewer models at once",
    )
