"""A device with a shell, reached by OpenSSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.transports.base import THIS_MACHINE, TransportPlugin
from edgespiral.measure.transports.openssh import OpensshLink, SshSettings
from edgespiral.measure.transports.shell import ShellTransport

if TYPE_CHECKING:
    from collections.abc import Hashable

LOOPBACK = ("localhost", "127.0.0.1", "::1")
NO_JUMP = ("", "none")


class SshTransport(ShellTransport):
    """A device behind ssh, over one shared connection."""

    def __init__(self, settings: SshSettings) -> None:
        super().__init__(settings, OpensshLink(settings))


def device_id(settings: SshSettings) -> Hashable:
    """The same for two names of one host, and for all names of this machine."""
    options = OpensshLink(settings).configuration()
    host, jump = options.get("hostname", settings.host).lower(), options.get("proxyjump", "")
    direct = jump in NO_JUMP and options.get("proxycommand", "") in NO_JUMP
    # Another port of this machine is taken for the machine itself: they may well share its cores.
    if direct and host in LOOPBACK:
        return THIS_MACHINE
    way = () if direct else (jump, options.get("proxycommand", ""))
    return host, options.get("port", ""), *way


PLUGIN = TransportPlugin(SshSettings, lambda settings, _work: SshTransport(settings), device_id)
