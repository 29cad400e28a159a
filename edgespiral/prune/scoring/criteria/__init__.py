"""What a channel is worth: one module a criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from edgespiral.prune.scoring.criteria.base import Criterion

CRITERIA: PluginKind[Criterion] = PluginKind(
    "criterion",
    __name__,
    "edgespiral.criteria",
    needs=("score", "check", "trains_scales", "is_control"),
)
