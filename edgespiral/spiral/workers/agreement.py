"""Whether all processes of a run have the same of everything that a training depends on."""

from __future__ import annotations

import json
import math
import os
from itertools import islice
from typing import TYPE_CHECKING

from edgespiral.core.errors import (
    DataError,
    EdgeSpiralError,
    ExitCode,
    ProcessLostError,
    UsageError,
    first_few,
)
from edgespiral.core.system.versions import versions
from edgespiral.data.passes import PassDigest
from edgespiral.distill.parallel.replica import require_shares
from edgespiral.distill.parallel.world import present
from edgespiral.models.saved import weights_sha256
from edgespiral.spiral.plan import plan_sha256
from edgespiral.spiral.training import batch_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.distill.parallel.world import World
    from edgespiral.spiral.plan import Plan

# Of a training split: all of it where it is small, else batches spread over the whole of it.
LOOKED_AT, BATCH = 8192, 64
PLATFORM = "platform"
AGREED, OF = "agreed", "facts of {}"
DATA = "training data"


def agree(plan: Plan, model: nn.Module, splits: DataSplits) -> None:
    """Compare plan, versions, weights and data with the other processes', in the first of them.

    Args:
        plan: of the run.
        model: as it is trained from.
        splits: as they are trained on.

    Raises:
        UsageError: a process has another plan, other versions or other weights, or the samples of a
            batch cannot be shared out evenly.
        DataError: it has other data, or other batches for the same seed.
        ProcessLostError: it failed before it could tell.
    """
    world = present()
    if world.size == 1:
        return
    own = _facts(plan, model, splits)
    if not world.is_first:
        _await_agreement(world, own)
        return
    try:
        size = batch_of(plan, len(splits.train), model)
        require_shares(size, plan.accumulate, world.size)
        for rank in range(1, world.size):
            _require_same(own, json.loads(world.wait(OF.format(rank))), rank)
    except EdgeSpiralError as error:
        world.post(AGREED, str(int(error.exit_code)))
        raise
    world.post(AGREED, str(int(ExitCode.OK)))


def tell_failure(world: World, error: EdgeSpiralError) -> None:
    """Have the first process tell of what this one failed at before it could agree.

    Raises:
        ProcessLostError: the first process is gone.
    """
    failure = {"host": os.uname().nodename, "error": str(error)}
    world.post(OF.format(world.rank), json.dumps(failure))
    world.wait(AGREED)


class DisagreedError(ProcessLostError):
    """The first process has refused the run, and says why."""


def _await_agreement(world: World, own: Mapping[str, str]) -> None:
    world.post(OF.format(world.rank), json.dumps({"host": os.uname().nodename, "facts": own}))
    code = int(world.wait(AGREED))
    if code != ExitCode.OK:
        raise DisagreedError("the processes of this run have not the same of everything")


def _facts(plan: Plan, model: nn.Module, splits: DataSplits) -> dict[str, str]:
    facts = {f"version of {n}": v for n, v in versions().items() if n != PLATFORM}
    facts |= {"plan": plan_sha256(plan), "weights of the model": weights_sha256(model)}
    facts["number of training samples"] = str(len(splits.train))
    facts[f"{DATA} (samples or labels)"] = _digest(_spread(splits.train))
    size = batch_of(plan, len(splits.train), model)
    first = splits.train.epoch(batch_size=size, seed=plan.seed)
    facts[f"{DATA} (batches for one seed)"] = _digest(islice(first, 1))
    return facts


def _require_same(own: Mapping[str, str], answer: Mapping[str, object], rank: int) -> None:
    where = f"process {rank} of {answer['host']}"
    if "error" in answer:
        raise ProcessLostError(f"{answer['error']}", where=where)
    theirs = answer["facts"]
    assert isinstance(theirs, dict)
    differing = [name for name in {**own, **theirs} if own.get(name) != theirs.get(name)]
    if not differing:
        return
    is_data = [name for name in differing if DATA in name or "samples" in name]
    words = [_difference(name, own, theirs) for name in differing]
    raise (DataError if is_data == differing else UsageError)(
        f"differs from process 0 of {os.uname().nodename} in: {first_few(words)}",
        where=where,
        hint="every process needs the same files, flags and packages, and data that is a function "
        "of the seed",
    )


def _difference(name: str, own: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What differs; with both values where a person can read them."""
    is_digest = DATA in name or name in ("plan", "weights of the model")
    return name if is_digest else f"{name} ({theirs.get(name)}, not {own.get(name)})"


def _spread(source: BatchSource) -> Iterator[tuple[Tensors, Tensors]]:
    """Batches in stored order, from all over the source."""
    number = math.ceil(len(source) / BATCH)
    if len(source) <= LOOKED_AT:
        yield from source.epoch(batch_size=BATCH)
        return
    step = number * BATCH // LOOKED_AT
    for first in [*range(0, number - 1, step), number - 1]:
        yield from islice(source.epoch(batch_size=BATCH, first_batch=first), 1)


def _digest(batches: Iterator[tuple[Tensors, Tensors]]) -> str:
    digest = PassDigest()
    for inputs, targets in batches:
        digest.add(inputs, targets)
    return digest.hexdigest()
