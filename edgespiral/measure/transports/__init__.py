"""Transports, by the `kind` of a profile's `[transport]`: one line each."""

from edgespiral.measure.transports.adb import AdbTransport
from edgespiral.measure.transports.base import TRANSPORTS, DeviceLostError, Transport
from edgespiral.measure.transports.local import LocalTransport
from edgespiral.measure.transports.ssh import SshTransport

TRANSPORTS.register("adb")(AdbTransport.from_profile)
TRANSPORTS.register("local")(LocalTransport.from_profile)
TRANSPORTS.register("ssh")(SshTransport.from_profile)

__all__ = [
    "TRANSPORTS",
    "AdbTransport",
    "DeviceLostError",
    "LocalTransport",
    "SshTransport",
    "Transport",
]
