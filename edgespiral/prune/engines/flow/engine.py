"""The engine that follows channels through any graph: groups by labels, and cuts along them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import ref

from edgespiral.prune.batch_axes import known_axes
from edgespiral.prune.engines.base import GroupSurvey
from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.finder import survey_by_flow
from edgespiral.prune.engines.flow.follow import Flow, follow
from edgespiral.prune.engines.flow.proven import proven_groups
from edgespiral.prune.engines.flow.sizes import Sizes, sizes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.groups import ChannelGroup

# A model is asked for its groups and then cut: of so many, what was followed is kept.
KEPT_MODELS = 2


class FlowEngine(FlowCutter):
    """Knows every architecture, and is the slowest."""

    order = 30
    groups_of: tuple[str, ...] = ("depgraph", "flow")

    def __init__(self) -> None:
        self._lately: deque[_Followed] = deque(maxlen=KEPT_MODELS)

    def cannot_cut(self, model: GraphModule) -> str | None:  # noqa: ARG002
        """See `PruningEngine.cannot_cut`."""
        return None

    def find_groups(
        self,
        model: GraphModule,
        example: Tensors,
        *,
        known: Sequence[ChannelGroup] | None = None,
    ) -> GroupSurvey:
        """See `PruningEngine.find_groups`."""
        if known is None:
            model, survey = proven_groups(model, example)
        else:
            flow = self._lately_followed(model, example).flow
            survey = survey_by_flow(model, example, flow, known_axes(known))
        return GroupSurvey(model, survey.groups, survey.uncuttable)

    def _followed(self, model: GraphModule, example: Tensors) -> tuple[Flow, Sizes]:
        followed = self._lately_followed(model, example)
        return followed.flow, followed.sizes

    def _lately_followed(self, model: GraphModule, example: Tensors) -> _Followed:
        """What was followed through this very model for this very example, or will be now.

        Labels depend on the graph and on shapes, and engines change neither of what they are given.
        """
        for followed in self._lately:
            if followed.model() is model and followed.example is example:
                return followed
        self._lately.append(_Followed(ref(model), example))
        return self._lately[-1]


@dataclass(frozen=True)
class _Followed:
    """A model that is, while it lives, followed once, and its sizes asked for once."""

    model: ref[GraphModule]
    example: Tensors

    @cached_property
    def flow(self) -> Flow:
        return follow(self._living, self.example)

    @cached_property
    def sizes(self) -> Sizes:
        return sizes_of(self._living, self.example)

    @property
    def _living(self) -> GraphModule:
        model = self.model()
        assert model is not None, "whoever asks has the model"
        return model
