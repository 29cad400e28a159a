"""A cut and nothing else: a smaller module for a training loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import ModelError, UsageError, first_few, unknown_name
from edgespiral.core.nested import leaves, mapped, plain, rows
from edgespiral.core.system.analysis_limit import analysing
from edgespiral.data.guard import watched
from edgespiral.models.accept import copy_of, folded, not_finite, unwrapped
from edgespiral.models.example_inputs import example_of
from edgespiral.models.fixed import train_like
from edgespiral.models.independence import check_answers
from edgespiral.models.load import one_output
from edgespiral.models.saved import trace
from edgespiral.models.tracing.grad_mode import stop_gradients
from edgespiral.models.work import parameter_count
from edgespiral.prune.engines import AUTO
from edgespiral.prune.prunable import PrunableModel, cut_to
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.prune.scoring.obs import after_folding
from edgespiral.prune.scoring.reconstruct import moments
from edgespiral.spiral.planning.allocate import every_choice
from edgespiral.spiral.student.unlabelled import taught_by
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.widths import Widths
    from edgespiral.prune.scoring.reconstruct import Moments
    from edgespiral.spiral.planning.stepping.choices import Choices
    from edgespiral.tasks.base import Task

WITH_DATA, WITHOUT_DATA = "fisher", "l1"
BATCH, MOST_SAMPLES = 128, 1024
FACTS = "cut"


@dataclass(frozen=True)
class CutFacts:
    """What a cut came to; `meta["cut"]` of the module that `cut` returns.

    Attributes:
        before: channels of each group of coupled layers, by its name.
        after: those that are left; 0 is a branch that is gone.
        engine: what removed them.
        difference: of the outputs from the masked model's, relative to the largest of them, in
            double precision where the model works in it.
        parameters_before, parameters_after: how many weights the given module and this one have.
    """

    before: dict[str, int]
    after: dict[str, int]
    engine: str
    difference: float
    parameters_before: int
    parameters_after: int


def cut(
    model: nn.Module,
    example_inputs: Tensors | None = None,
    *,
    fraction: float | None = None,
    widths: Mapping[str, int] | None = None,
    criterion: str | None = None,
    data: DataSplits | Mapping[str, Any] | str | None = None,
    task: Task | str = DEFAULT,
    multiple: int = 1,
    pruner: str = AUTO,
    seed: int = 0,
) -> GraphModule:
    """Take channels out of a trained module; nothing is trained, measured or written.

    What is left computes what `model` does with those channels masked, which is checked in double
    precision. With `data`, what the channels that go told the layers after them is folded into the
    weights that stay (docs/allocation.md), and the masked model has these weights.

    Args:
        model: a trained module; it stays as it was.
        example_inputs: a batch (N, ...), or a tuple or a dict of several; not needed with `data`.
        fraction: of the channels of every group that leave, above 0 and below 1.
        widths: or how many channels groups keep, by the names that `edgespiral inspect` shows; 0
            takes a residual branch out as a whole. Groups that are not named stay.
        criterion: what a channel is worth (docs/allocation.md); `fisher` with data, `l1` without.
        data: three splits in memory, or what the command's `--data` takes; the training split is
            looked at. Where it has no targets, what `model` says is taken for them.
        task: what the model is for, by name, file or as it is; of matter with data.
        multiple: widths that `fraction` leads to are multiples of it, as a device's kernels like.
        pruner: the engine that removes channels; `auto` is the first that can.
        seed: of what is drawn at random.

    Returns:
        A module on the device of `model`, in eval mode, with its parameters' names and plain layers
        of `torch.nn`; `meta["cut"]` is a `CutFacts`.

    Raises:
        UsageError: not one of `fraction` and `widths`, or an impossible one; an unknown name.
        ModelError: the model cannot be traced or cut; `NothingToCutError` if it has no such
            channels.
        DataError: the criterion needs data and there are none, or they are wrong.

    Example:
        >>> import edgespiral, torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
        >>> small = edgespiral.cut(net, torch.randn(4, 8), fraction=0.5)
        >>> small(torch.randn(1, 8)).shape, small.meta["cut"].after
        (torch.Size([1, 2]), {'0': 16})
    """
    _check_asked(fraction, widths, multiple)
    scored_by = criterion or (WITHOUT_DATA if data is None else WITH_DATA)
    CRITERIA.check(scored_by)
    source, splits, aim = _prepared(model, example_inputs, _splits(data), _task(task))
    new_widths: Mapping[str, int] = (
        _at_fraction(source, fraction, multiple) if widths is None else _at(source, widths)
    )
    scores, layer_moments = _scored(source, scored_by, splits, aim, seed)
    result = cut_to(source, new_widths, scores, pruner, layer_moments)
    facts = CutFacts(
        before={group.name: group.channels for group in source.groups},
        after=dict(new_widths),
        engine=result.engine,
        difference=result.difference,
        parameters_before=parameter_count(model),
        parameters_after=parameter_count(result.model),
    )
    smaller = result.model.eval()
    _forget_buffers(smaller, unwrapped(model))
    train_like(smaller, source.model)
    stop_gradients(smaller)
    smaller.meta[FACTS] = facts
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    return smaller.to(home)


def _prepared(
    model: nn.Module, example_inputs: Tensors | None, splits: DataSplits | None, task: Task
) -> tuple[PrunableModel, DataSplits | None, Task]:
    """Model, data and task as they go together; the model's outputs for targets that are not."""
    if splits is not None:
        task, splits = task.fitted(splits)
        splits = watched(splits, task.target_problem)
        task.check_data(splits)
    inputs = _inputs(example_inputs, splits)
    source, task = _source(model, inputs, splits, task)
    if splits is not None and not splits.is_labelled:
        splits = taught_by(source.model, splits, task)
    return source, splits, task


def _check_asked(fraction: float | None, widths: Mapping[str, int] | None, multiple: int) -> None:
    if (fraction is None) == (widths is None):
        raise UsageError("one of fraction and widths is needed", where="cut")
    if fraction is not None and not (type(fraction) in (int, float) and 0 < fraction < 1):
        raise UsageError(f"must be above 0 and below 1, is {fraction!r}", where="fraction")
    if type(multiple) is not int or multiple < 1:
        raise UsageError(f"must be 1 or more, is {multiple!r}", where="multiple")
    if widths is None:
        return
    if not isinstance(widths, Mapping):
        raise UsageError(f"a {type(widths).__name__} has no names of groups", where="widths")
    odd = next((name for name, width in widths.items() if type(width) is not int), None)
    if odd is not None:
        raise UsageError(f"{odd}: {widths[odd]!r} is not a number of channels", where="widths")


def _splits(data: DataSplits | Mapping[str, Any] | str | None) -> DataSplits | None:
    from edgespiral.data import load
    from edgespiral.data.user import splits_of

    if data is None:
        return None
    return load(data) if isinstance(data, str) else splits_of(data, "data")


def _task(task: Task | str) -> Task:
    from edgespiral.tasks import resolved

    return resolved(task)


def _inputs(example_inputs: Tensors | None, splits: DataSplits | None) -> Tensors:
    if example_inputs is None and splits is None:
        raise UsageError("example_inputs or data are needed", where="cut")
    if example_inputs is None:
        assert splits is not None
        return first_inputs(splits)
    inputs = plain(example_inputs)
    ends = list(leaves(inputs).values())
    is_batch = bool(ends) and all(isinstance(leaf, torch.Tensor) and leaf.ndim for leaf in ends)
    if not is_batch or {len(leaf) for leaf in ends} in ({0}, set()):
        raise UsageError(
            f"a batch of inputs (N, ...) is needed, not {_shown(example_inputs)}",
            where="example_inputs",
        )
    return mapped(lambda leaf: leaf.detach().cpu(), inputs)


def _shown(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _source(
    model: nn.Module, inputs: Tensors, splits: DataSplits | None, task: Task
) -> tuple[PrunableModel, Task]:
    """The groups of `model`, on the CPU, of what of it the task takes, and the task for that.

    Raises:
        UsageError: it is no module.
        ModelError: its weights are not finite, or, with data, its outputs are not the task's.
    """
    if not isinstance(model, nn.Module):
        what = f"a {type(model).__name__} is no torch.nn.Module"
        raise UsageError(what, where="model", hint="give the module itself")
    own = copy_of(unwrapped(model)).cpu()
    example = rows(inputs, slice(0, 1))
    if splits is not None:
        own, task = task.prepared(own, splits)
        own, example = one_output(own, splits, task.main_output), example_of(splits)
    layers, _ = folded(own)
    odd = _odd_weights(layers, inputs)
    if odd:
        what = f"weights are NaN or infinite: {first_few(odd)}"
        raise ModelError(what, where=type(model).__name__)
    if splits is not None and splits.is_labelled:
        check_answers(layers, splits, task.check_outputs)
    with analysing():
        return PrunableModel.of(trace(layers, inputs), (), example=example), task


def _odd_weights(layers: nn.Module, inputs: Tensors) -> list[str]:
    """Names of weights that are no numbers, but for those that the forward does not read."""
    odd = not_finite(layers)
    if not odd:
        return []
    with suppress(ModelError), analysing():
        return not_finite(trace(layers, inputs))
    return odd


def _forget_buffers(smaller: nn.Module, model: nn.Module) -> None:
    """Leave out of the state of `smaller` the buffers that that of `model` leaves out."""
    forgotten = {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        for name in module._non_persistent_buffers_set
    }
    for name, _ in smaller.named_buffers(remove_duplicate=False):
        if name in forgotten:
            path, _, own = name.rpartition(".")
            smaller.get_submodule(path)._non_persistent_buffers_set.add(own)


def _at_fraction(source: PrunableModel, fraction: float | None, multiple: int) -> Widths:
    assert fraction is not None
    widths = _choices(source, multiple).at_share(1 - fraction)
    if all(widths[group.name] == group.channels for group in source.groups):
        widest = max(group.channels for group in source.groups)
        raise UsageError(
            f"takes no channel: the widest group has {widest}, in steps of {multiple}",
            where="fraction",
            hint="ask for a larger one",
        )
    return widths


def _choices(source: PrunableModel, multiple: int) -> Choices:
    try:
        return every_choice(source.groups, source.branches, multiple)
    except UsageError as error:
        raise UsageError(error.what, where="multiple", hint="ask for a smaller one") from error


def _at(source: PrunableModel, widths: Mapping[str, int]) -> dict[str, int]:
    """All groups at the widths that are asked for, or as they are."""
    options = _choices(source, 1).options
    all_widths = {group.name: group.channels for group in source.groups}
    for name, width in widths.items():
        if name not in all_widths:
            raise unknown_name("group", name, all_widths)
        if width and width not in options[name]:
            allowed = options[name]
            step = f" in steps of {allowed[1] - allowed[0]}" if len(allowed) > 1 else ""
            raise UsageError(
                f"{name} can have {allowed[0]} to {allowed[-1]} channels{step}, not {width}",
                where="widths",
            )
    all_widths |= widths
    whole = {
        g for b in source.branches if not any(all_widths[g] for g in b.groups) for g in b.groups
    }
    stuck = sorted(name for name, width in all_widths.items() if not width and name not in whole)
    if stuck:
        raise UsageError(
            f"{stuck[0]} cannot have width 0",
            where="widths",
            hint="only a whole residual branch can go: all of its groups at 0",
        )
    return all_widths


def _scored(
    source: PrunableModel, criterion: str, splits: DataSplits | None, task: Task, seed: int
) -> tuple[dict[str, Tensor], dict[str, Moments] | None]:
    """What channels are worth, and, with data, how they go together."""
    scoring = CRITERIA.get(criterion)
    scoring.check(source.model, source.groups)
    batches = []
    if splits is not None:
        size = min(BATCH, len(splits.train))
        epoch = splits.unaugmented().train.epoch(batch_size=size, seed=seed)
        batches = list(islice(epoch, max(1, MOST_SAMPLES // size)))
    evidence = Evidence(batches, seed, losses=task.sample_losses)
    scores = scoring.score(source.model, source.groups, evidence)
    if not batches or scoring.is_control:
        return scores, None
    layer_moments = moments(source.model, source.groups, [inputs for inputs, _ in batches])
    return after_folding(scores, source.model, source.groups, layer_moments), layer_moments
