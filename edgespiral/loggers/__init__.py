"""Where teams look: logs of runs that others' programs show, one module each.

Each is a listener (`core/listener.py`) that writes a run's figures by way of its program's own
client. Nothing outside of this package knows of a single one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgespiral.core.listener import Listener

LOGGERS: PluginKind[Callable[[], Listener]] = PluginKind(
    "log", "edgespiral.loggers", "edgespiral.loggers", shared=("listening",)
)
