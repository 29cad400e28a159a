"""An Android device, reached by an adb server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.profile import AdbProfile
from edgespiral.measure.transports.adb_link import AdbLink
from edgespiral.measure.transports.shell import ShellTransport

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.measure.profile import TargetProfile


class AdbTransport(ShellTransport):
    """A device behind an adb server, by USB or by TCP."""

    def __init__(self, settings: AdbProfile) -> None:
        super().__init__(settings, AdbLink(settings))

    @classmethod
    def from_profile(cls, profile: TargetProfile, _work: Path | None) -> AdbTransport:
        """The transport that a profile describes."""
        assert isinstance(profile.transport, AdbProfile)
        return cls(profile.transport)
