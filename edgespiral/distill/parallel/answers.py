"""What a model says of a split, asked of all processes, each of which has a share of its batches.

Batches are those of one process, so answers are the same, whatever a metric makes of them: it is
reckoned in the first process, of all answers in stored order.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, cast

import safetensors.torch
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.nn.utils.parametrize import is_parametrized

from edgespiral.core.batches import first_inputs
from edgespiral.core.nested import as_float, count, filled, joined, leaves, mapped, template
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.temporary import work_folder
from edgespiral.data.guard import Guarded
from edgespiral.distill import compute
from edgespiral.distill.fuse import for_inference
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating
from edgespiral.models.saved import load_model, save_model, trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.distill.parallel.world import World
    from edgespiral.distill.settings import Precision

ASKED, MODEL = "asked.json", "model"
# One tensor by itself.
KEY = "answers"
# Of all answers together, which the first process holds in memory.
MOST_BYTES = 2**28


def can_travel(model: nn.Module) -> bool:
    """Whether other processes can build a model: not one that has rounding inside."""
    return isinstance(model, GraphModule) and not any(map(is_parametrized, model.modules()))


def share_of(rank: int, size: int, batches: int) -> range:
    """Which batches of a pass are a process's: neighbours, so that it loads no others.

    Example:
        >>> [list(share_of(rank, 2, 5)) for rank in range(2)]
        [[0, 1, 2], [3, 4]]
    """
    each = -(-batches // size)
    return range(min(rank * each, batches), min((rank + 1) * each, batches))


def answers(
    world: World,
    model: nn.Module,
    source: BatchSource,
    *,
    batch_size: int,
    precision: Precision,
) -> Tensors | None:
    """The outputs (N, ...) of a model for a split in stored order; None where they are not shared.

    They are not where there is one process, where the model cannot travel, where all answers take
    more than 256 MB, and where another process has another number of samples. Called in the first
    process alone.

    Args:
        world: the processes.
        model: in its own mode and place, which it keeps.
        source: of the split; one that does not say which split it is of is not shared.
        batch_size: of the pass.
        precision: that the model runs in.

    Raises:
        ProcessLostError: another process is gone.
    """
    if world.size == 1 or not can_travel(model) or not isinstance(source, Guarded):
        return None
    assert isinstance(model, GraphModule)
    inputs, _ = next(iter(source.epoch(batch_size=1)))
    if 4 * len(source) * values_of(model, inputs) > MOST_BYTES:
        return None
    request = {"part": source.part, "samples": len(source), "batch_size": batch_size}
    with work_folder() as place:
        folder = make_folder(place / "answers")
        save_model(model, make_folder(folder / MODEL))
        write_text(folder / ASKED, json.dumps(request | {"precision": precision}))
        world.order(folder)
    batches = share_of(0, world.size, -(-len(source) // batch_size))
    own = joined(list(_said(model, source, batches, batch_size, precision)))
    shares = [share for share in world.gathered() if share]
    whole = joined([own, *(_read(share, own) for share in shares)])
    return whole if count(whole) == len(source) else None


def answer(world: World, folder: Path, splits: DataSplits) -> None:
    """Send the first process this one's share of what it asks for in `folder`.

    Raises:
        DataError: the split cannot be read.
        ModelError: the model cannot be built.
    """
    request = json.loads((folder / ASKED).read_text(encoding="utf-8"))
    source: BatchSource = getattr(splits, request["part"])
    batch_size, precision = request["batch_size"], cast("Precision", request["precision"])
    share = b""
    if len(source) == request["samples"]:
        batches = share_of(world.rank, world.size, -(-len(source) // batch_size))
        model = trace(load_model(folder / MODEL), first_inputs(splits))
        outputs = list(_said(model, source, batches, batch_size, precision))
        share = _written(joined(outputs)) if outputs else b""
    world.give(share)


def _said(
    model: nn.Module, source: BatchSource, batches: range, batch_size: int, precision: Precision
) -> Iterator[Tensors]:
    device = compute.best_device()
    resolved = compute.resolved_precision(precision, device)
    with evaluating(model):
        network = for_inference(model)
        with (
            compute.placed([network], device),
            torch.inference_mode(),
            compute.autocast(resolved, device),
        ):
            loaded = source.epoch(batch_size=batch_size, first_batch=batches.start)
            for inputs, _ in itertools.islice(loaded, len(batches)):
                outputs = call(network, compute.inputs_to(inputs, device))
                yield mapped(Tensor.cpu, as_float(outputs))


def values_of(model: nn.Module, inputs: Tensors) -> int:
    """How many numbers a model's outputs for `inputs` are, which lie on the CPU."""
    home = next((value.device for value in model.parameters()), torch.device("cpu"))
    with torch.no_grad(), evaluating(model):
        outputs = call(model, compute.inputs_to(inputs, home))
    return sum(leaf.numel() for leaf in leaves(outputs).values())


def _written(share: Tensors) -> bytes:
    ends = {name or KEY: tensor.contiguous() for name, tensor in leaves(share).items()}
    return bytes(safetensors.torch.save(ends))


def _read(share: bytes, like: Tensors) -> Tensors:
    """A share of another process, in the form of this one's own."""
    ends = safetensors.torch.load(share)
    return filled(template(like), iter([ends[name or KEY] for name in leaves(like)]))
