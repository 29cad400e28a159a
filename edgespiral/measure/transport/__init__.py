"""Transports, by the `kind` of a profile's `[transport]`: one line each."""

from edgespiral.measure.transport.base import TRANSPORTS, Transport
from edgespiral.measure.transport.local import LocalTransport

TRANSPORTS.register("local")(LocalTransport.from_profile)

__all__ = ["TRANSPORTS", "LocalTransport", "Transport"]
