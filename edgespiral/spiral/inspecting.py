"""What can be cut of a model, before any time is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import _BatchNorm

from edgespiral.core.nested import shapes
from edgespiral.core.records.inspection import (
    BranchFacts,
    EngineFacts,
    GroupFacts,
    Inspection,
    KeptFacts,
    LayerFacts,
)
from edgespiral.prune.cuttable_share import Share, cuttable_share, layer_shares
from edgespiral.prune.engines import engines_in_order
from edgespiral.prune.engines.flow.finder import main_reasons, survey_by_flow
from edgespiral.prune.engines.trial import failed_trial
from edgespiral.prune.network import network_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from edgespiral.prune.engines.base import Cutter
    from edgespiral.prune.prunable import PrunableModel

# What reaches the output stays in every model, and is no news below this share of the channels.
EXPECTED = "reach the output"
LITTLE = 0.5


def inspect(teacher: PrunableModel, name: str) -> Inspection:
    """Everything about what can be cut of a model.

    Args:
        teacher: the traced model with its groups.
        name: what to call it.
    """
    share, uncuttable = cuttable_share(teacher.model, teacher.groups), uncuttable_channels(teacher)
    return Inspection(
        model=name,
        input=shapes(teacher.example),
        channels=share.channels,
        cuttable_channels=share.cuttable_channels,
        parameters=share.parameters,
        cuttable_parameters=share.cuttable_parameters,
        layers=tuple(
            LayerFacts(
                name=layer.name,
                channels=layer.channels,
                cuttable_channels=layer.cuttable_channels,
            )
            for layer in layer_shares(teacher.model, teacher.groups)
        ),
        network=network_of(teacher.model),
        groups=tuple(_groups(teacher)),
        branches=tuple(
            BranchFacts(name=b.name, groups=b.groups, layers=len(b.layers))
            for b in teacher.branches
        ),
        kept=tuple(
            KeptFacts(layer=layer, channels=count, reason=reason)
            for layer, (count, reason) in uncuttable.items()
        ),
        main_reasons=tuple(main_reasons(uncuttable)),
        engines=tuple(_engine(engine, teacher) for engine in engines_in_order()),
        batch_norms=len(_batch_norms(teacher.model)),
        batch_norms_without_statistics=tuple(_without_statistics(teacher.model)),
        precisions=_precisions(teacher.model),
    )


def share_lines(teacher: PrunableModel) -> list[str]:
    """How much can be cut and, where it is little, what holds the rest: a line each."""
    share = cuttable_share(teacher.model, teacher.groups)
    lines = [f"  can be cut: {shown(share)}"]
    if share.cuttable_channels < LITTLE * share.channels:
        unexpected = {
            n: k for n, k in uncuttable_channels(teacher).items() if not k[1].startswith(EXPECTED)
        }
        lines += [f"  stays: {reason}" for reason in main_reasons(unexpected)]
    return lines


def shown(share: Share) -> str:
    """Both shares in words."""
    return (
        f"{share.cuttable_channels / max(share.channels, 1):.0%} of the channels, "
        f"{share.cuttable_parameters / max(share.parameters, 1):.0%} of the parameters"
    )


def uncuttable_channels(teacher: PrunableModel) -> Mapping[str, tuple[int, str]]:
    """By layer how many channels stay whole and why, whichever way the groups were found."""
    if teacher.uncuttable:
        return teacher.uncuttable
    in_groups = {slot.layer for group in teacher.groups for slot in group.producers}
    uncuttable = survey_by_flow(teacher.model, teacher.example).uncuttable
    return {layer: facts for layer, facts in uncuttable.items() if layer not in in_groups}


def _groups(teacher: PrunableModel) -> Iterator[GroupFacts]:
    for group in teacher.groups:
        yield GroupFacts(
            name=group.name,
            channels=group.channels,
            step=group.sub_groups,
            made_by=tuple(slot.layer for slot in group.producers),
            read_by=tuple(slot.layer for slot in group.consumers),
        )


def _engine(engine: Cutter, teacher: PrunableModel) -> EngineFacts:
    problem = failed_trial(engine, teacher.model, teacher.groups, teacher.example)
    return EngineFacts(name=engine.name, problem=problem)


def _batch_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    return {name: m for name, m in model.named_modules() if isinstance(m, _BatchNorm)}


def _without_statistics(model: nn.Module) -> list[str]:
    return [name for name, norm in _batch_norms(model).items() if norm.running_mean is None]


def _precisions(model: nn.Module) -> dict[str, int]:
    counts: dict[str, int] = {}
    for parameter in model.parameters():
        kind = str(parameter.dtype).removeprefix("torch.")
        counts[kind] = counts.get(kind, 0) + parameter.numel()
    return counts
