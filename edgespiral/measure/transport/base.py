"""What carries files and commands to a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from edgespiral.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from edgespiral.core.profile import TargetProfile
    from edgespiral.measure.completed import Completed


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

    def push(self, local: Path, remote_name: str) -> None:
        """Copy a file to `remote_name`, a path below the work folder, whose folders are made.

        Raises:
            TargetError: it cannot be written there.
        """

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command in the work folder and wait for its end.

        Raises:
            TargetError: it cannot be started.
            MeasurementError: it did not end within `timeout_s` and was killed.
        """

    def pull(self, remote_name: str, local: Path) -> None:
        """Copy a file of the work folder to `local`.

        Raises:
            TargetError: there is no such file.
        """


TRANSPORTS: Registry[Callable[[TargetProfile, Path | None], Transport]] = Registry("transport")
