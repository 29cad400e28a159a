"""Where the layers that read a group's channels have the samples of a batch."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import GraphModule

from edgespiral.core.errors import ModelError
from edgespiral.core.nested import count, joined, mapped
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating
from edgespiral.prune.double import arithmetic_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.groups import ChannelGroup

# Sums of single precision in another order differ by less, other samples by far more.
TOLERANCE, FLOOR = 1e-3, 1e-12


@torch.no_grad()
def batch_axes(model: nn.Module, example: Tensors) -> dict[str, int]:
    """Per layer the dimension of its input that has samples, each as one run of places.

    Layers whose input mixes the order of samples, or spreads them over dimensions, are left out;
    those whose input is the same whatever the batch count as having them first.

    Args:
        model: the model; its layers are named as in its groups.
        example: one input (1, ...).

    Raises:
        ModelError: the model does not run on several samples.
    """
    axes = _axes(model, example)
    if None in axes.values() and isinstance(model, GraphModule):
        # Layers that divide by little, as by how a channel hardly varies, make much of rounding.
        arithmetic = arithmetic_for(model, example)
        with arithmetic.computing():
            axes = _axes(arithmetic.model(model), arithmetic.inputs(example))
    return {name: axis for name, axis in axes.items() if axis is not None}


def _axes(model: nn.Module, example: Tensors) -> dict[str, int | None]:
    alone = _inputs(model, example)
    # Not only in another order: where each token is routed by itself, as many rows would follow.
    others = [mapped(change, example) for change in (_flipped, _stretched, _uniform)]
    samples = [example, *others, example]
    together = _inputs(model, joined(samples))
    return {
        name: _axis(single, together[name], len(samples))
        for name, single in alone.items()
        if name in together
    }


def _flipped(leaf: Tensor) -> Tensor:
    return leaf.flip(-1)


def _stretched(leaf: Tensor) -> Tensor:
    return leaf.index_select(-1, torch.arange(leaf.shape[-1], device=leaf.device) // 2)


def _uniform(leaf: Tensor) -> Tensor:
    return leaf.narrow(-1, 0, 1).expand_as(leaf)


def with_batch_axes(group: ChannelGroup, axes: Mapping[str, int]) -> ChannelGroup:
    """`group`, each of whose slots says where its layer has samples."""
    producers, consumers = (
        tuple(replace(slot, batch_axis=axes.get(slot.layer, 0)) for slot in side)
        for side in (group.producers, group.consumers)
    )
    return replace(group, producers=producers, consumers=consumers)


def known_axes(groups: Iterable[ChannelGroup]) -> dict[str, int]:
    """What `batch_axes` has said of the layers of `groups`."""
    slots = chain.from_iterable((*group.producers, *group.consumers) for group in groups)
    return {slot.layer: slot.batch_axis for slot in slots}


def _axis(alone: Tensor, together: Tensor, samples: int) -> int | None:
    """The dimension along which a batch has as many rows of each of its samples, in their order.

    Its first and its last sample are the one that is `alone`. Rows that are picked by their values
    are others in number, so it takes more than that they begin with those of the first.
    """
    if alone.dim() != together.dim():
        return None
    differ = [d for d in range(alone.dim()) if alone.shape[d] != together.shape[d]]
    if not differ:
        return 0 if alone.numel() and agree(together, alone) else None
    dim, *others = differ
    rows = alone.shape[dim]
    if others or together.shape[dim] != samples * rows:
        return None
    ends = (together.narrow(dim, start, rows) for start in (0, (samples - 1) * rows))
    return dim if all(agree(end, alone) for end in ends) else None


def agree(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are the same but for rounding, which grows with their largest value."""
    first, second = (x.detach().double().nan_to_num(posinf=0.0, neginf=0.0) for x in (left, right))
    largest = float(second.abs().max()) if second.numel() else 0.0
    return not first.numel() or float((first - second).abs().max()) <= TOLERANCE * largest + FLOOR


def _inputs(model: nn.Module, batch: Tensors) -> dict[str, Tensor]:
    """The first input of every layer that is given a tensor."""
    seen: dict[str, Tensor] = {}
    handles = [m.register_forward_pre_hook(_noting(seen, n)) for n, m in model.named_modules()]
    try:
        with evaluating(model):
            call(model, batch)
    except Exception as error:
        raise ModelError(
            f"it does not run on a batch of {count(batch)}: {' '.join(str(error).split())[:200]}",
            where=type(model).__name__,
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _noting(seen: dict[str, Tensor], name: str) -> Any:  # noqa: ANN401
    def note(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], torch.Tensor):
            seen.setdefault(name, inputs[0].clone())

    return note
