"""Groups found by labels of which each was cut on trial: those that fail are left out, and told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgespiral.core.nested import joined
from edgespiral.core.system.analysis_limit import seconds_left
from edgespiral.prune.engines.flow.channel_sums import statistics_let_go
from edgespiral.prune.engines.flow.cutter import TrialCutter
from edgespiral.prune.engines.flow.finder import FlowSurvey, survey_by_flow
from edgespiral.prune.engines.flow.follow import follow
from edgespiral.prune.engines.trial import failed_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.engines.flow.follow import Flow
    from edgespiral.prune.groups import ChannelGroup

SAMPLES = 2
# What is kept for all that comes after the trials, in trials; most models need one.
SPARE_TRIALS = 3


def proven_groups(model: GraphModule, example: Tensors) -> tuple[GraphModule, FlowSurvey]:
    """The groups that a trial cut leaves equal to the masked model, and why others stay.

    Args:
        model: the traced model, written out (`explicit`).
        example: one input (1, ...).

    Returns:
        The model to cut, in which statistics over channels let these go, and what was found in it.
    """
    flow = follow(model, example)
    freed = statistics_let_go(model, example, flow.sums) if flow.sums else model
    if freed is not model:
        model, flow = freed, follow(freed, example)
    survey = survey_by_flow(model, example, flow)
    trials = _Trials(model, example, flow)
    sound, failed = trials.sound(survey.groups)
    uncuttable = dict(survey.uncuttable)
    for group, reason in failed:
        for slot in group.producers:
            uncuttable.setdefault(slot.layer, (int((slot.channel_of >= 0).sum()), reason))
    return model, FlowSurvey(sound, uncuttable)


Failed = list[tuple["ChannelGroup", str]]


class _Trials:
    """Cuts of one model made to see which of its groups are what they are taken for."""

    def __init__(self, model: GraphModule, example: Tensors, flow: Flow) -> None:
        self._model = model
        self._inputs = joined([example] * SAMPLES)
        self._cutter = TrialCutter(model, flow, example)
        self._trial_s = 0.0

    def sound(self, groups: Sequence[ChannelGroup]) -> tuple[list[ChannelGroup], Failed]:
        """Halve what fails until what is left of it is one group that fails by itself."""
        reason = self._failure(groups)
        if reason is None:
            return list(groups), []
        if len(groups) == 1:
            return [], [(groups[0], f"stay: {reason}")]
        if seconds_left() < SPARE_TRIALS * self._trial_s:
            late = "stay: the time did not suffice to find which of them fail on trial"
            return [], [(group, f"{late} ({reason})") for group in groups]
        half = len(groups) // 2
        left, left_failed = self.sound(groups[:half])
        right, right_failed = self.sound(groups[half:])
        return self._together(left, right, [*left_failed, *right_failed])

    def _together(
        self, left: list[ChannelGroup], right: list[ChannelGroup], failed: Failed
    ) -> tuple[list[ChannelGroup], Failed]:
        """Both, unless they only work apart: then the larger."""
        reason = self._failure([*left, *right]) if left and right else None
        if reason is None:
            return [*left, *right], failed
        fewer, more = sorted((left, right), key=lambda groups: sum(g.channels for g in groups))
        return more, [*failed, *((g, f"stay: not with others: {reason}") for g in fewer)]

    def _failure(self, groups: Sequence[ChannelGroup]) -> str | None:
        if not groups:
            return None
        start_s = time.thread_time()
        reason = failed_trial(self._cutter, self._model, groups, self._inputs)
        self._trial_s = max(self._trial_s, time.thread_time() - start_s)
        return reason
