"""The engine that follows channels through any graph: groups by labels, and cuts along them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.prune.engines.base import GroupSurvey
from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.finder import survey_by_flow
from edgespiral.prune.engines.flow.proven import proven_groups

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors


class FlowEngine(FlowCutter):
    """Knows every architecture, and is the slowest."""

    order = 30
    groups_of: tuple[str, ...] = ("depgraph", "flow")

    def cannot_cut(self, model: GraphModule) -> str | None:  # noqa: ARG002
        """See `PruningEngine.cannot_cut`."""
        return None

    def find_groups(self, model: GraphModule, example: Tensors, *, proven: bool) -> GroupSurvey:
        """See `PruningEngine.find_groups`."""
        if proven:
            model, survey = proven_groups(model, example)
        else:
            survey = survey_by_flow(model, example)
        return GroupSurvey(model, survey.groups, survey.uncuttable)
