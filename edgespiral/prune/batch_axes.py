"""Where the layers that read a group's channels have the samples of a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from edgespiral.core.errors import ModelError
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from edgespiral.prune.groups import ChannelGroup

SAMPLES = (2, 3)


@torch.no_grad()
def batch_axes(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Per layer the first dimension of its input whose size depends on the batch's.

    Args:
        model: the model; its layers are named as in its groups.
        example: one input (1, ...).

    Raises:
        ModelError: the model does not run on several samples.
    """
    shapes: list[dict[str, tuple[int, ...]]] = []
    for samples in SAMPLES:
        seen: dict[str, tuple[int, ...]] = {}
        handles = [m.register_forward_pre_hook(_noting(seen, n)) for n, m in model.named_modules()]
        try:
            with evaluating(model):
                model(example.repeat(samples, *[1] * (example.dim() - 1)))
        except Exception as error:
            raise ModelError(
                f"it does not run on a batch of {samples}: {' '.join(str(error).split())[:200]}",
                where=type(model).__name__,
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        shapes.append(seen)
    fewer, more = shapes
    return {
        name: next((d for d, (a, b) in enumerate(zip(shape, more[name], strict=True)) if a != b), 0)
        for name, shape in fewer.items()
        if len(shape) == len(more.get(name, ()))
    }


def with_batch_axes(group: ChannelGroup, axes: Mapping[str, int]) -> ChannelGroup:
    """`group`, each of whose slots says where its layer has samples."""
    producers, consumers = (
        tuple(replace(slot, batch_axis=axes.get(slot.layer, 0)) for slot in side)
        for side in (group.producers, group.consumers)
    )
    return replace(group, producers=producers, consumers=consumers)


def _noting(seen: dict[str, tuple[int, ...]], name: str) -> Any:  # noqa: ANN401
    def note(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], torch.Tensor):
            seen.setdefault(name, tuple(inputs[0].shape))

    return note
