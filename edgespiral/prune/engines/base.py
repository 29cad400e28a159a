"""The engine that removes channels, and the check that it removed the right ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
import torch.fx

from edgespiral.core.errors import ModelError
from edgespiral.prune.branches import Silencing
from edgespiral.prune.double import arithmetic_for
from edgespiral.prune.groups import outputs_of
from edgespiral.prune.masking import gated, keep_gates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.branches import Branch
    from edgespiral.prune.double import Arithmetic
    from edgespiral.prune.groups import ChannelGroup


class Cutter(Protocol):
    """Physically removes channels."""

    name: str

    def cut(
        self,
        model: GraphModule,
        example: Tensor,
        groups: Sequence[ChannelGroup],
        kept: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """Return a smaller copy of `model`; the model itself is left as it was.

        Args:
            model: the traced model.
            example: one input batch (1, C, H, W).
            groups: the model's groups, from `find_groups`.
            kept: per group the channels that stay.

        Raises:
            ModelError: the engine cannot cut this model.
        """
        ...


@dataclass(frozen=True)
class Removal:
    """What a cut takes out of a model: channels of groups, and whole branches."""

    groups: Sequence[ChannelGroup]
    kept: Mapping[str, Sequence[int]]
    branches: Sequence[Branch] = ()


def check_cut(original: GraphModule, cut: GraphModule, inputs: Tensor, removal: Removal) -> float:
    """Compare the cut model with the original whose removed parts are masked.

    Args:
        original: the model before the cut.
        cut: the model after it.
        inputs: a batch (N, C, H, W).
        removal: what was taken out, in terms of the original's groups.

    Returns:
        The largest difference of the outputs, relative to the largest masked output: in double
        precision, or in the model's own where it does not work in double (`prune.double`).

    Raises:
        ModelError: a layer has the wrong size, the cut model does not run, or the outputs differ
            by more than float arithmetic explains.
    """
    _check_sizes(cut, removal)
    arithmetic = arithmetic_for(original, inputs)
    with arithmetic.computing():
        masked = _masked_outputs(original, inputs, removal, arithmetic)
        smaller = _cut_outputs(cut, inputs, arithmetic)
    if smaller.shape != masked.shape:
        raise ModelError(f"the cut changed the output from {masked.shape} to {smaller.shape}")
    scale = masked.abs().max().clamp_min(torch.finfo(masked.dtype).tiny)
    difference = float((smaller - masked).abs().max() / scale)
    if not difference <= arithmetic.tolerance:
        raise ModelError(
            f"the cut and the masked model differ by {difference:.1e} of the largest output",
            hint="try another --pruner, and report the architecture",
        )
    return difference


def _check_sizes(cut: GraphModule, removal: Removal) -> None:
    modules = dict(cut.named_modules())
    for group in removal.groups:
        kept = torch.tensor(removal.kept[group.name])
        for slot in (slot for slot in group.producers if slot.layer in modules):
            outputs = outputs_of(modules[slot.layer])
            remaining = int(torch.isin(slot.channel_of, kept).sum())
            foreign = int((slot.channel_of < 0).sum())
            if outputs is not None and not foreign and outputs != remaining:
                raise ModelError(
                    f"{remaining} channels should remain, not {outputs}",
                    where=slot.layer,
                    hint="try --pruner depgraph",
                )


def _masked_outputs(
    original: GraphModule, inputs: Tensor, removal: Removal, arithmetic: Arithmetic
) -> Tensor:
    model = arithmetic.model(original)
    with gated(model, removal.groups, keep_gates(removal.groups, removal.kept)):
        output: Tensor = Silencing(model, removal.branches).run(arithmetic.inputs(inputs))
    return output


def _cut_outputs(cut: GraphModule, inputs: Tensor, arithmetic: Arithmetic) -> Tensor:
    try:
        model = arithmetic.model(cut)
        output: Tensor = torch.fx.Interpreter(model).run(arithmetic.inputs(inputs))
    except Exception as error:
        raise ModelError(
            f"the cut model does not run: {error}".splitlines()[0], hint="try --pruner depgraph"
        ) from error
    return output
