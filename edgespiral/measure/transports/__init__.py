"""Ways to devices, by the `kind` of a profile's `[transport]`: one module a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from edgespiral.measure.transports.base import TransportPlugin

TRANSPORTS: PluginKind[TransportPlugin[Any]] = PluginKind(
    "transport",
    __name__,
    "edgespiral.transports",
    shared=(
        *("adb_link", "adb_shell", "device_scripts", "link", "one_at_a_time", "openssh"),
        *("output", "shell"),
    ),
    needs=("settings", "make", "device_id", "is_local"),
)
