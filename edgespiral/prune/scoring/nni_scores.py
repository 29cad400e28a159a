"""Per-channel metrics of NNI's norm pruners, read where NNI turns them into masks."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.prune.groups import ChannelGroup

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def layer_metrics(
    pruner: str, model: GraphModule, groups: Sequence[ChannelGroup]
) -> dict[str, Tensor]:
    """One metric an output channel, (out,), for every weighted producer of the groups.

    Args:
        pruner: name of a class of `nni.compression.pruning`.
        model: the traced model; a copy is handed to NNI, which wraps the layers it scores.
        groups: the model's groups.
    """
    names = sorted({s.layer for g in groups for s in g.producers})
    layers = [n for n in names if isinstance(model.get_submodule(n), WEIGHTED)]
    if not layers:
        return {}
    from nni.compression import pruning

    logging.getLogger("nni").setLevel(logging.CRITICAL)
    metrics: dict[str, Tensor] = {}

    class Recording(getattr(pruning, pruner)):  # type: ignore[misc]
        def _generate_sparsity(self, masks: dict[str, dict[str, Any]]) -> Any:  # noqa: ANN401
            metrics.update({layer: m["weight"].detach().flatten() for layer, m in masks.items()})
            return super()._generate_sparsity(masks)

    config = [{"op_names": layers, "target_names": ["weight"], "sparse_ratio": 0.5}]
    # In single precision, whatever the model has: half sums overflow, and others are put beside.
    Recording(copy.deepcopy(model).float(), config).compress()
    return metrics
