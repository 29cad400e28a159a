"""The engine that removes channels, and the check that it removed the right ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
import torch.fx

from edgespiral.core.errors import ModelError, first_few
from edgespiral.core.nested import leaves
from edgespiral.models.work import parameter_count
from edgespiral.prune.branches import Silencing
from edgespiral.prune.double import arithmetic_for
from edgespiral.prune.groups import outputs_of
from edgespiral.prune.masking import gated, keep_gates
from edgespiral.prune.unstack import RECURRENT_LAYERS, recurrent_layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.branches import Branch
    from edgespiral.prune.double import Arithmetic
    from edgespiral.prune.groups import ChannelGroup


class Cutter(Protocol):
    """Physically removes channels."""

    name: str

    def cut(
        self,
        model: GraphModule,
        example: Tensors,
        groups: Sequence[ChannelGroup],
        kept_channels: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """Return a smaller copy of `model`; the model itself is left as it was.

        Args:
            model: the traced model.
            example: one input batch (1, C, H, W).
            groups: the model's groups, from `find_groups`.
            kept_channels: per group the channels that stay.

        Raises:
            ModelError: the engine cannot cut this model.
        """
        ...


@dataclass(frozen=True)
class GroupSurvey:
    """The groups of coupled channels of a model.

    Attributes:
        model: in which they are: the one that was asked about, or another form of it.
        uncuttable: by layer how many of its channels stay whole and why, if the engine tells.
    """

    model: GraphModule
    groups: Sequence[ChannelGroup]
    uncuttable: Mapping[str, tuple[int, str]] = field(default_factory=dict)


class PruningEngine(Cutter, Protocol):
    """Finds what of a model can be cut, and cuts; a plug-in of `edgespiral.pruning_engines`.

    Attributes:
        name: the plug-in's.
        order: the engines of a lower one are asked for groups, and tried, first. NNI has 10,
            Torch-Pruning 20 and the engine that follows labels, which knows all groups, 30.
        groups_of: names of the engines whose groups it can cut.
    """

    order: int
    groups_of: tuple[str, ...]

    def cannot_cut(self, model: GraphModule) -> str | None:
        """What the model has that the engine never cuts, such as "recurrent layers"; else None.

        Args:
            model: the traced model.
        """
        ...

    def find_groups(
        self,
        model: GraphModule,
        example: Tensors,
        *,
        known: Sequence[ChannelGroup] | None = None,
    ) -> GroupSurvey | None:
        """The groups of the model; None where it does with its channels what is not seen here.

        Args:
            model: the traced model, with attention and the like written out.
            example: one input batch (1, C, H, W).
            known: the groups of a model of which this one is what some branches leave: a cut on
                trial has shown there that all effects of a removal are seen. Without them it is
                to be shown here.
        """
        ...


class NoRecurrentLayers:
    """What engines have in common that cut no recurrent layers."""

    def cannot_cut(self, model: GraphModule) -> str | None:
        """See `PruningEngine.cannot_cut`."""
        return RECURRENT_LAYERS if recurrent_layers(model) else None


@dataclass(frozen=True)
class Removal:
    """What a cut takes out of a model: channels of groups, and whole branches."""

    groups: Sequence[ChannelGroup]
    kept_channels: Mapping[str, Sequence[int]]
    branches: Sequence[Branch] = ()


def check_cut(original: GraphModule, cut: GraphModule, inputs: Tensors, removal: Removal) -> float:
    """Compare the cut model with the original whose removed parts are masked.

    Args:
        original: the model before the cut.
        cut: the model after it.
        inputs: a batch (N, C, H, W).
        removal: what was taken out, in terms of the original's groups.

    Returns:
        The largest difference of an output, relative to its largest masked value: in double
        precision, or in the model's own where it does not work in double (`prune.double`).

    Raises:
        ModelError: a layer has the wrong size, there are more parameters than before, the cut
            model does not run, or the outputs differ by more than float arithmetic explains.
    """
    _check_sizes(cut, removal)
    before, after = parameter_count(original), parameter_count(cut)
    if after > before:
        raise ModelError(
            f"the cut made {after} parameters of {before}", hint="try another --pruner"
        )
    arithmetic = arithmetic_for(original, inputs)
    with arithmetic.computing():
        masked = _masked_outputs(original, inputs, removal, arithmetic)
        smaller = _cut_outputs(cut, inputs, arithmetic)
    pairs = zip(leaves(smaller).values(), leaves(masked).values(), strict=True)
    difference = max(_difference(*pair) for pair in pairs)
    if not difference <= arithmetic.tolerance:
        raise ModelError(
            f"the cut and the masked model differ by {difference:.1e} of the largest output",
            hint="try another --pruner, and report the architecture",
        )
    return difference


def _difference(smaller: Tensor, masked: Tensor) -> float:
    """The largest of one output, relative to its largest masked value."""
    if smaller.shape != masked.shape:
        raise ModelError(f"the cut changed the output from {masked.shape} to {smaller.shape}")
    if not masked.is_floating_point():
        return 0.0 if torch.equal(smaller, masked) else math.inf
    scale = masked.abs().max().clamp_min(torch.finfo(masked.dtype).tiny)
    return float((smaller - masked).abs().max() / scale)


def _check_sizes(cut: GraphModule, removal: Removal) -> None:
    modules = dict(cut.named_modules())
    for group in removal.groups:
        channels = torch.tensor(removal.kept_channels[group.name])
        for slot in (slot for slot in group.producers if slot.layer in modules):
            outputs = outputs_of(modules[slot.layer])
            remaining = int(torch.isin(slot.channel_of, channels).sum())
            foreign = int((slot.channel_of < 0).sum())
            if outputs is not None and not foreign and outputs != remaining:
                raise ModelError(
                    f"{remaining} channels should remain, not {outputs}",
                    where=slot.layer,
                    hint="try --pruner depgraph",
                )


def share_again(before: nn.Module, after: nn.Module) -> None:
    """Have the layers of a cut model share what they shared before it.

    Args:
        before: the model that was cut.
        after: what the cut made of it, changed here.

    Raises:
        ModelError: the cut made different tensors of what was one.
    """
    left = dict(_tensors(after))
    names_of: dict[int, list[str]] = {}
    for name, tensor in _tensors(before):
        names_of.setdefault(id(tensor), []).append(name)
    for names in names_of.values():
        kept = [name for name in names if name in left]
        if not all(torch.equal(left[name], left[kept[0]]) for name in kept[1:]):
            raise ModelError(f"the cut parts weights that layers share: {first_few(kept)}")
        for name in kept[1:]:
            path, _, own_name = name.rpartition(".")
            setattr(after.get_submodule(path), own_name, left[kept[0]])


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _masked_outputs(
    original: GraphModule, inputs: Tensors, removal: Removal, arithmetic: Arithmetic
) -> Tensors:
    model = arithmetic.model(original)
    with gated(model, removal.groups, keep_gates(removal.groups, removal.kept_channels)):
        return arithmetic.run(Silencing(model, removal.branches), inputs)


def _cut_outputs(cut: GraphModule, inputs: Tensors, arithmetic: Arithmetic) -> Tensors:
    try:
        model = arithmetic.model(cut)
        return arithmetic.run(torch.fx.Interpreter(model), inputs)
    except Exception as error:
        raise ModelError(
            f"the cut model does not run: {error}".splitlines()[0], hint="try --pruner depgraph"
        ) from error
