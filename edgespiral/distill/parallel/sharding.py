"""Teachers whose weights are shared out among the processes, for those that fit no single GPU.

Each process keeps a share of every layer, and gathers a layer whole when the teacher comes to it
(Zhao et al. 2023, "PyTorch FSDP", section 3.2; PyTorch's `fully_shard`).
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from typing import TYPE_CHECKING, cast

from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.utils.parametrize import is_parametrized

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch.fx import GraphModule

    from edgespiral.distill.parallel.world import World

# A layer with fewer weights is gathered with all others of this kind, once a pass.
LEAST_WEIGHTS = 2**12


def shared_out(
    teachers: Sequence[nn.Module], world: World, device: torch.device
) -> list[nn.Module]:
    """Copies of traced teachers of which each process holds its share on `device`.

    Every process calls them for as many batches as the others do. Recurrent layers stay whole in
    each: what they compute with is not what they are given.

    Args:
        teachers: traced, alike in all processes, where they are.
        world: the processes; one alone has the whole.
        device: that the outputs are computed on.
    """
    return [_shared_out(cast("GraphModule", teacher), world, device) for teacher in teachers]


def _shared_out(teacher: GraphModule, world: World, device: torch.device) -> nn.Module:
    model = copy.deepcopy(teacher).eval()
    if world.size == 1:
        return model.to(device)
    mesh = init_device_mesh(device.type, (world.size,))
    recurrent = [layer.to(device) for layer in model.modules() if isinstance(layer, nn.RNNBase)]
    whole = set(itertools.chain.from_iterable(layer.parameters() for layer in recurrent))
    for layer in _layers(model):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    fully_shard(model, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    assert isinstance(model, FSDPModule)
    return model


def _layers(model: GraphModule) -> Iterator[nn.Module]:
    """Large layers that only the graph's calls read the weights of."""
    reads = {str(node.target) for node in model.graph.find_nodes(op="get_attr")}
    calls = dict.fromkeys(str(node.target) for node in model.graph.find_nodes(op="call_module"))
    layers = {name: model.get_submodule(name) for name in calls}
    owners = Counter(id(weight) for layer in layers.values() for weight in set(layer.parameters()))
    for name, layer in layers.items():
        weights = list(layer.parameters())
        is_read = any(read.startswith(f"{name}.") for read in reads)
        is_shared = any(owners[id(weight)] > 1 for weight in weights)
        is_plain = not isinstance(layer, nn.RNNBase) and not is_parametrized(layer)
        is_large = sum(weight.numel() for weight in weights) >= LEAST_WEIGHTS
        if is_plain and is_large and not is_read and not is_shared:
            yield layer
