"""What takes channels out of models: one module or folder an engine, tried in their own order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError
from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from edgespiral.prune.engines.base import PruningEngine

AUTO = "auto"
PRUNING_ENGINES: PluginKind[PruningEngine] = PluginKind(
    "pruner",
    __name__,
    "edgespiral.pruning_engines",
    shared=("trial",),
    needs=("name", "order", "groups_of", "cannot_cut", "find_groups", "cut"),
)


def engines_in_order() -> list[PruningEngine]:
    """All engines, those that are tried first at the front.

    Raises:
        UsageError, MissingExtraError: one of them cannot be imported.
    """
    return sorted(map(engine_called, PRUNING_ENGINES.names()), key=lambda engine: engine.order)


def engine_called(name: str) -> PruningEngine:
    """The engine of a name, which records know it by.

    Raises:
        UsageError: no such engine, or it calls itself something else.
        MissingExtraError: it needs a package of one of EdgeSpiral's extras.
    """
    engine = PRUNING_ENGINES.get(name)
    if engine.name != name:
        raise UsageError(
            f"calls itself {engine.name!r}",
            where=f"pruner {name}",
            hint="give it and its entry point one name",
        )
    return engine
