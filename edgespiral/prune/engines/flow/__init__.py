"""Follows channels through any graph by labels, recurrent layers and attention too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.prune.engines.flow.engine import FlowEngine

if TYPE_CHECKING:
    from edgespiral.prune.engines.base import PruningEngine

PLUGIN: PruningEngine = FlowEngine()
