"""An Android device, reached by an adb server."""

from __future__ import annotations

from edgespiral.measure.transports.adb_link import AdbLink, AdbSettings
from edgespiral.measure.transports.base import TransportPlugin
from edgespiral.measure.transports.shell import ShellTransport


class AdbTransport(ShellTransport):
    """A device behind an adb server, by USB or by TCP."""

    def __init__(self, settings: AdbSettings) -> None:
        super().__init__(settings, AdbLink(settings))


PLUGIN = TransportPlugin(
    AdbSettings,
    make=lambda settings, _work: AdbTransport(settings),
    device_id=lambda settings: ("adb", settings.chosen_serial),
)
