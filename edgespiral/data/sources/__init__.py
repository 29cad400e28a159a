"""Where data comes from: one module a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from edgespiral.data.sources.base import Source

SOURCES: PluginKind[Source] = PluginKind("data set", __name__, "edgespiral.data")
