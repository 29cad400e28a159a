"""Groups found by labels of which each was cut on trial: those that fail are left out, and told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgespiral.core.nested import joined
from edgespiral.prune.engines.flow.channel_sums import sums_as_layers
from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.finder import FlowSurvey, survey_by_flow
from edgespiral.prune.engines.trial import failed_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.groups import ChannelGroup

SAMPLES = 2
# One trial takes about as long as finding the groups did; most models need one.
MOST_SECONDS = 120.0


def proven_groups(model: GraphModule, example: Tensors) -> tuple[GraphModule, FlowSurvey]:
    """The groups that a trial cut leaves equal to the masked model, and why others stay.

    Args:
        model: the traced model, written out (`explicit`).
        example: one input (1, ...).

    Returns:
        The model to cut, in which sums over channels are layers, and what was found in it.
    """
    survey = survey_by_flow(model, example)
    if survey.sums:
        model = sums_as_layers(model, example, survey.sums)
        survey = survey_by_flow(model, example)
    inputs = joined([example] * SAMPLES)
    sound, failed = _sound(model, survey.groups, inputs, time.monotonic() + MOST_SECONDS)
    kept = dict(survey.kept)
    for group, reason in failed:
        for slot in group.producers:
            kept.setdefault(slot.layer, (int((slot.channel_of >= 0).sum()), reason))
    return model, FlowSurvey(sound, kept)


Failed = list[tuple["ChannelGroup", str]]


def _sound(
    model: GraphModule, groups: Sequence[ChannelGroup], inputs: Tensors, until: float
) -> tuple[list[ChannelGroup], Failed]:
    """Halve what fails until what is left of it is one group that fails by itself."""
    if not groups:
        return [], []
    reason = failed_trial(FlowCutter(), model, groups, inputs)
    if reason is None:
        return list(groups), []
    if len(groups) == 1:
        return [], [(groups[0], f"stay: {reason}")]
    if time.monotonic() > until:
        late = f"stay: {MOST_SECONDS:.0f} s of trials did not find which of them fail ({reason})"
        return [], [(group, late) for group in groups]
    half = len(groups) // 2
    left, left_failed = _sound(model, groups[:half], inputs, until)
    right, right_failed = _sound(model, groups[half:], inputs, until)
    return _together(model, left, right, inputs, [*left_failed, *right_failed])


def _together(
    model: GraphModule,
    left: list[ChannelGroup],
    right: list[ChannelGroup],
    inputs: Tensors,
    failed: Failed,
) -> tuple[list[ChannelGroup], Failed]:
    """Both, unless they only work apart: then the larger."""
    reason = failed_trial(FlowCutter(), model, [*left, *right], inputs) if left and right else None
    if reason is None:
        return [*left, *right], failed
    fewer, more = sorted((left, right), key=lambda groups: sum(g.channels for g in groups))
    return more, [*failed, *((g, f"stay: not with others: {reason}") for g in fewer)]
