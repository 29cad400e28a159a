"""What a model says of a split, asked of all processes, each of which has a share of its batches.

Batches are those of one process, so answers are the same, whatever a metric makes of them: it is
reckoned in the first process, of all answers in stored order.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import safetensors.torch
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.nn.utils.parametrize import is_parametrized

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import ProcessLostError
from edgespiral.core.nested import as_float, count, filled, joined, leaves, mapped, template
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.temporary import work_folder
from edgespiral.data.guard import Guarded
from edgespiral.distill import compute
from edgespiral.distill.fuse import for_inference
from edgespiral.distill.parallel.outputs import MappedOutputs
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating
from edgespiral.models.saved import load_model, save_model, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Template, Tensors
    from edgespiral.distill.parallel.world import World
    from edgespiral.distill.settings import Precision

ASKED, MODEL = "asked.json", "model"
DONE = b"done"
# Of the number of a batch, before the names of its tensors.
DIGITS = 6
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
    shared = _shared(world, model, source)
    if shared is None or len(source) * _sample_bytes(model, source) > MOST_BYTES:
        return None
    batches = -(-len(source) // batch_size)
    _ask(world, model, shared, batch_size=batch_size, precision=precision, at_once=batches)
    own = _said(model, source, share_of(0, world.size, batches), batch_size, precision)
    whole = joined(_together(world, list(own)))
    return whole if count(whole) == len(source) else None


def in_order(
    world: World,
    model: nn.Module,
    source: BatchSource,
    *,
    batch_size: int,
    precision: Precision,
) -> Iterator[Tensors] | None:
    """The outputs (B, ...) of a model, batch by batch of a pass; None where they are not shared.

    The processes answer for so many batches at once as take 256 MB, while others are looked at. All
    of them have to be taken, or the others wait. Called in the first process alone.

    Args:
        world: the processes.
        model: in its own mode and place, which it keeps.
        source: of the split; one that does not say which split it is of is not shared.
        batch_size: of the pass.
        precision: that the model runs in.

    Raises:
        ProcessLostError: another process is gone.
    """
    shared = _shared(world, model, source)
    if shared is None:
        return None
    bytes_of_batch = batch_size * _sample_bytes(model, source)
    at_once = max(world.size, MOST_BYTES // max(1, bytes_of_batch))
    _ask(world, model, shared, batch_size=batch_size, precision=precision, at_once=at_once)

    def answered() -> Iterator[Tensors]:
        for batches in runs_of(-(-len(source) // batch_size), at_once):
            share = own_of(batches, 0, world.size)
            own = list(_said(model, source, share, batch_size, precision))
            said = _together(world, own)
            if len(said) < len(batches):  # another process has other data
                rest = batches[len(own) :]
                said = [*own, *_said(model, source, rest, batch_size, precision)]
            yield from said

    return answered()


def _shared(world: World, model: nn.Module, source: BatchSource) -> Guarded | None:
    """The source, where other processes can answer for a share of it."""
    if world.size == 1 or not can_travel(model) or not isinstance(source, Guarded):
        return None
    return source


def _sample_bytes(model: nn.Module, source: BatchSource) -> int:
    """What the answers for a sample take, in float32."""
    inputs, _ = next(iter(source.epoch(batch_size=1)))
    return 4 * values_of(model, inputs)


def runs_of(batches: int, at_once: int) -> Iterator[range]:
    """All batches, so many at once.

    Example:
        >>> list(map(list, runs_of(5, 3)))
        [[0, 1, 2], [3, 4]]
    """
    for start in range(0, batches, at_once):
        yield range(start, min(start + at_once, batches))


def own_of(batches: range, rank: int, size: int) -> range:
    """Which of some batches are a process's."""
    share = share_of(rank, size, len(batches))
    return batches[share.start : share.stop]


def put_together(
    world: World,
    model: nn.Module,
    source: BatchSource,
    path: Path,
    *,
    batch_size: int,
    precision: Precision,
    heard: Callable[[int, int], None],
) -> bool:
    """Have all processes of this machine write their shares of the outputs to a file.

    Called in the first process alone.

    Args:
        world: the processes.
        model: in its own mode and place, which it keeps.
        source: of the split.
        path: of `MappedOutputs`.
        batch_size: of the pass.
        precision: that the model runs in.
        heard: told how many of this process's batches are done, and how many there are.

    Returns:
        Whether they have: not where there is one process, or the model cannot travel.

    Raises:
        ProcessLostError: another process is gone, or does not see the file.
    """
    shared = _shared(world, model, source)
    if shared is None:
        return False
    request = {"batch_size": batch_size, "precision": precision}
    _ask(world, model, shared, file=str(path.resolve()), **request)
    batches = share_of(0, world.size, -(-len(source) // batch_size))
    own = _said(model, source, batches, batch_size, precision)
    mapped = MappedOutputs.opened(path)
    for number, outputs in zip(batches, own, strict=True):
        mapped.put(number * batch_size, outputs)
        heard(number + 1, len(batches))
    if not all(list(world.gathered())):
        raise ProcessLostError(
            "a process has another number of samples", hint="give all of them the same data"
        )
    return True


def _ask(world: World, model: nn.Module, source: Guarded, **request: object) -> None:
    with work_folder() as place:
        folder = make_folder(place / "answers")
        save_model(cast("GraphModule", model), make_folder(folder / MODEL))
        stated = {"part": source.part, "samples": len(source), "file": None} | request
        write_text(folder / ASKED, json.dumps(stated))
        world.order(folder)


def answer(world: World, folder: Path, splits: DataSplits) -> None:
    """Send the first process this one's share of what it asks for in `folder`, or write it.

    Raises:
        DataError: the split cannot be read.
        ModelError: the model cannot be built.
        RunFolderError: the file that it is to be written to is not seen here.
    """
    request = json.loads((folder / ASKED).read_text(encoding="utf-8"))
    source: BatchSource = getattr(splits, request["part"])
    batch_size, precision = request["batch_size"], cast("Precision", request["precision"])
    model = trace(load_model(folder / MODEL), first_inputs(splits))
    has_all = len(source) == request["samples"]
    batches = -(-request["samples"] // batch_size)
    for together in runs_of(batches, request.get("at_once", batches)):
        share = own_of(together, world.rank, world.size) if has_all else range(0)
        outputs = _said(model, source, share, batch_size, precision)
        if request["file"] is None:
            world.give(_written(list(outputs)))
        else:
            numbered = zip(share, outputs, strict=True)
            world.give(_put(Path(request["file"]), numbered, batch_size) if has_all else b"")


def _put(path: Path, batches: Iterable[tuple[int, Tensors]], batch_size: int) -> bytes:
    mapped = MappedOutputs.opened(path)
    for number, outputs in batches:
        mapped.put(number * batch_size, outputs)
    return DONE


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


def _together(world: World, own: list[Tensors]) -> list[Tensors]:
    """This process's batches, and those of the others behind them."""
    form = template(own[0])
    return [*own, *(batch for share in world.gathered() for batch in _read(share, form))]


def _written(batches: Sequence[Tensors]) -> bytes:
    ends = {
        f"{number:0{DIGITS}}{name}": tensor.contiguous()
        for number, batch in enumerate(batches)
        for name, tensor in leaves(batch).items()
    }
    return bytes(safetensors.torch.save(ends)) if ends else b""


def _read(share: bytes, form: Template) -> list[Tensors]:
    """Batches of another process, in the form that they had there."""
    ends = safetensors.torch.load(share) if share else {}
    names = list(leaves(filled(form, itertools.repeat(0))))
    numbers = sorted({name[:DIGITS] for name in ends})
    return [filled(form, iter([ends[number + name] for name in names])) for number in numbers]
