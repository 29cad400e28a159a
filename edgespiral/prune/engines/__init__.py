"""What takes channels out of models: one module or folder an engine, tried in their own order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from edgespiral.prune.engines.base import PruningEngine

AUTO = "auto"
PRUNING_ENGINES: PluginKind[PruningEngine] = PluginKind(
    "pruner", __name__, "edgespiral.pruning_engines", shared=("trial",)
)


def engines_in_order() -> list[PruningEngine]:
    """All engines, those that are tried first at the front.

    Raises:
        UsageError, MissingExtraError: one of them cannot be imported.
    """
    engines = map(PRUNING_ENGINES.get, PRUNING_ENGINES.names())
    return sorted(engines, key=lambda engine: (engine.order, engine.name))
