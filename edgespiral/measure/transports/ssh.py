"""A device with a shell, reached by OpenSSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.profile import SshProfile
from edgespiral.measure.transports.openssh import OpensshLink
from edgespiral.measure.transports.shell import ShellTransport

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.measure.profile import TargetProfile


class SshTransport(ShellTransport):
    """A device behind ssh, over one shared connection."""

    def __init__(self, settings: SshProfile) -> None:
        super().__init__(settings, OpensshLink(settings))

    @classmethod
    def from_profile(cls, profile: TargetProfile, _work: Path | None) -> SshTransport:
        """The transport that a profile describes."""
        assert isinstance(profile.transport, SshProfile)
        return cls(profile.transport)
