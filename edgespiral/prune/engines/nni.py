"""Cuts by NNI's `ModelSpeedup`, which propagates masks through the graph and replaces layers.

Two of its public options decide its speed. It propagates by running every node on random inputs,
and 45 % of its time goes into counting the zeros of those activations for the log. So the example
is made as small as the architecture allows and the batch as small as its statistics allow:
ResNet-50 takes 2 s in place of 30 s (docs/architectures.md).
"""

from __future__ import annotations

import copy
import logging
import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.models.calling import positional
from edgespiral.prune.engines.base import NoRecurrentLayers
from edgespiral.prune.groups import quiet, removed_channels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors
    from edgespiral.prune.engines.base import PruningEngine
    from edgespiral.prune.groups import ChannelGroup

    Masks = dict[str, dict[str, Tensor]]

PROPAGATION_BATCH = 4
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class NniCutter(NoRecurrentLayers):
    """Removes channels with NNI 3, on our own trace because its tracer fails on torch 2.13."""

    name = "nni"
    order = 10
    groups_of: tuple[str, ...] = ("depgraph",)

    def find_groups(
        self, model: GraphModule, example: Tensors, *, known: Sequence[ChannelGroup] | None = None
    ) -> None:
        """None: NNI's own analysis does not name the layers that read a group."""
        del model, example, known

    def cut(
        self,
        model: GraphModule,
        example: Tensors,
        groups: Sequence[ChannelGroup],
        kept_channels: Mapping[str, Sequence[int]],
    ) -> GraphModule:
        """See `Cutter.cut`. Torch's global random state is left as it was."""
        smaller = copy.deepcopy(model)
        masks = output_masks(smaller, groups, kept_channels)
        if not masks:
            return smaller
        try:
            # NNI prints to the standard output while it settles conflicts of masks, and torch.fx to
            # the standard error when a size that is tried does not fit.
            with quiet(), warnings.catch_warnings(), torch.random.fork_rng():
                warnings.simplefilter("ignore")
                torch.manual_seed(0)
                _speedup(
                    smaller, positional(smaller.graph, smallest_example(smaller, example)), masks
                )
        except Exception as error:
            # What NNI misses within itself helps no user; the cause has it.
            raise ModelError(
                "NNI cannot cut this architecture: its rules do not fit one of its layers",
                hint="try --pruner depgraph, or auto, which takes the first engine that can",
            ) from error
        return smaller


def output_masks(
    model: nn.Module, groups: Sequence[ChannelGroup], kept_channels: Mapping[str, Sequence[int]]
) -> Masks:
    """NNI masks: per weighted producer a 0/1 tensor shaped as its weight (and bias)."""
    removed = removed_channels(groups, kept_channels)
    masks: Masks = {}
    for group in groups:
        for slot in group.producers if group.name in removed else ():
            layer = model.get_submodule(slot.layer)
            if isinstance(layer, WEIGHTED):
                gone = torch.isin(slot.channel_of, torch.tensor(removed[group.name]))
                _add_mask(masks.setdefault(slot.layer, {}), layer, gone)
    return masks


def smallest_example(model: nn.Module, example: Tensors, least: int = 32) -> Tensors:
    """The example shrunk to the smallest square input that the model accepts; several stay."""
    side = least
    while isinstance(example, torch.Tensor) and side < example.shape[-1]:
        smaller = example[..., :side, :side].contiguous()
        if _runs(model, smaller):
            return smaller
        side *= 2
    return example


@torch.no_grad()
def _runs(model: nn.Module, example: Tensors) -> bool:
    try:
        model.eval()(example)
    except (RuntimeError, ValueError):
        return False
    return True


def _add_mask(mask: dict[str, Tensor], layer: nn.Module, gone: Tensor) -> None:
    keep = (~gone).float()
    for name, parameter in layer.named_parameters(recurse=False):
        full = keep.view(-1, *[1] * (parameter.dim() - 1)).expand_as(parameter).clone()
        mask[name] = mask[name] * full if name in mask else full


def _speedup(model: GraphModule, example: tuple[Tensor, ...], masks: Masks) -> None:
    from nni.compression.speedup import ModelSpeedup

    # It prints a line a layer, and reports layers that need no replacement (Identity, Flatten) as
    # errors; whether the cut is right, `check_cut` decides.
    logging.getLogger("nni").setLevel(logging.CRITICAL)
    logger = logging.getLogger("nni.edgespiral")
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    ModelSpeedup(
        model,
        example,
        masks,
        batch_size=PROPAGATION_BATCH,
        graph_module=model,
        logger=logger,
    ).speedup_model()
    for parameter in model.parameters():
        parameter.grad = None


PLUGIN: PruningEngine = NniCutter()
