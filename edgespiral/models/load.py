"""A model from a name or the user's own file, with its weights, never executing pickled code."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from edgespiral.core.batches import NamedSource
from edgespiral.core.errors import DataError, ModelError, first_few
from edgespiral.core.factory import call_factory, is_factory
from edgespiral.core.nested import count, leaves, plain, rows, shapes
from edgespiral.core.system.files import is_file
from edgespiral.core.text import shortened
from edgespiral.core.user_code import user_code
from edgespiral.models.accept import unwrapped, with_one_output
from edgespiral.models.calling import called
from edgespiral.models.catalog import build
from edgespiral.models.checkpoint import (
    OTHER_SHAPE,
    form_of,
    keys_of,
    matched,
    misfits,
    stand_ins,
    states_in,
    with_other_rows,
)
from edgespiral.models.checkpoint_files import check_archive, read_checkpoint, shards_of
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.batches import DataSplits, InputSpec
    from edgespiral.core.nested import Tensors
    from edgespiral.models.checkpoint_files import Inert

    OutputCheck = Callable[[object, int, DataSplits], None]

Say = Callable[[str], None]
WEIGHTS_ENDINGS = (".safetensors", ".index.json", ".pt", ".pth", ".bin", ".ckpt")
# Of a split, what is looked at for samples that hold nothing.
EMPTY_BATCH, MOST_LOOKED_AT = 128, 1024
# Of a model's numbers, what may be without weights in a file that it begins from.
MOST_NEW = 0.5
NOT_LOADED = "the file holds more than tensors and is not loaded, since that would run its code"


def load_model(
    spec: str,
    *,
    weights: Path | None = None,
    classes: int,
    input_shape: tuple[int, ...],
    token_count: int | None = None,
    padding: int | None = None,
    sample_rate_hz: int | None = None,
    specs: Tensors | None = None,
    say: Say = lambda _: None,
) -> nn.Module:
    """A model by zoo name or `path/to/file.py:factory`, with its weights if given.

    Args:
        spec: a name of `zoo.names()`, or a factory called without arguments; or a module there.
        weights: a `.safetensors` file, the index of several, or a `.pt` read by
            `torch.load(weights_only=True)`; of a checkpoint with several sets of weights,
            `FILE:key` takes the one of that key.
        classes: number of logits of a zoo model.
        input_shape: (C, H, W) of a zoo model, (T,) of one for text.
        token_count, padding: of a zoo model for text, see `DataSplits`.
        sample_rate_hz: of a zoo model for waveforms, see `DataSplits`.
        specs: of a zoo model for several inputs, an `InputSpec` for each.
        say: told which weights were taken where that was a choice.

    Raises:
        UsageError: unknown name, or a factory that cannot be found or fails.
        ModelError: the factory returns no module, or the weights cannot be read or do not fit.
    """
    if is_factory(spec):
        model = _from_factory(spec)
    else:
        model = build(
            spec,
            classes=classes,
            input_shape=input_shape,
            token_count=token_count,
            padding=padding,
            sample_rate_hz=sample_rate_hz,
            specs=specs,
        )
    if weights is not None:
        fit_state(model, read_state(weights, say), where=str(weights), say=say)
    return model


def load_model_for(
    splits: DataSplits, spec: str, *, weights: Path | None = None, say: Say = lambda _: None
) -> nn.Module:
    """As `load_model`; what a zoo model is to take and return is that of `splits`.

    Raises:
        UsageError, ModelError: as `load_model`.
    """
    return load_model(
        spec,
        weights=weights,
        classes=len(splits.class_names),
        input_shape=splits.input_shape,
        token_count=splits.token_count,
        padding=splits.padding,
        sample_rate_hz=splits.sample_rate_hz,
        specs=splits.specs,
        say=say,
    )


def read_state(path: Path, say: Say = lambda _: None) -> dict[str, Tensor]:
    """The tensors of a weights file by name.

    Args:
        path: the file; `FILE:key` names one of several sets of weights in it.
        say: told which set was taken where there are several.

    Raises:
        ModelError: missing, damaged, not PyTorch weights, or a pickle that holds no tensors.
    """
    file, key = _file_and_key(path)
    form = form_of(file)
    if form != "pickle" and key is not None:
        what = f"has one set of weights, and none by the name {key!r}"
        raise ModelError(what, where=str(file), hint=f"give {file.name} alone")
    if form == "index":
        parts = [read_state(shard) for shard in shards_of(file)]
        return {name: tensor for part in parts for name, tensor in part.items()}
    if form == "safetensors":
        return _read_safetensors(file)
    return _read_pickled_state(path, file, key, say)


def _read_pickled_state(path: Path, file: Path, key: str | None, say: Say) -> dict[str, Tensor]:
    """The set of weights in a file of PyTorch's that `key` names, or the first of them."""
    content, beside = _read_pickle(file)
    states = states_in(content)
    if key is not None and key not in states:
        states = {k: v for k, v in states.items() if k.startswith(f"{key}.")}
    if not states:
        what = f"holds no state dict{f' {key!r}' if key else ''}; {keys_of(content)}"
        hint = "save model.state_dict() instead of the whole model" if beside else None
        raise ModelError(NOT_LOADED if beside else what, where=str(path), hint=hint)
    entry = next(iter(states)) if key is None or key not in states else key
    if key is None and len(states) > 1:
        others = first_few([other for other in states if other != entry])
        say(f"weights: {entry!r} of {path.name} is taken; {path.name}:KEY takes another ({others})")
    return states[entry]


def fit_state(
    model: nn.Module, state: dict[str, Tensor], *, where: str, say: Say = lambda _: None
) -> None:
    """Load `state` into `model`, under whatever prefix a wrapper gave its names.

    Raises:
        ModelError: keys are missing, unexpected, of another shape or kind of number; the first few
            are named.
    """
    fitting, outside = matched(model, state)
    _require_fitting(model, fitting, where)
    if outside:
        say(f"weights: left out of {where}, beside the model: {first_few(outside)}")
    # Counters of batches may be missing, which no result depends on.
    model.load_state_dict(fitting, strict=False)


def begin_from(
    model: nn.Module, state: dict[str, Tensor], *, where: str, say: Say = lambda _: None
) -> None:
    """Load what of `state` fits; layers with another number of outputs keep what they have.

    So a network that was trained on other classes begins on new ones: its body is taken over, and
    its head is new.

    Raises:
        ModelError: something else differs, or half of the parameters and more would be new.
    """
    fitting, outside = matched(model, state)
    own, new = model.state_dict(), with_other_rows(model, fitting)
    _require_fitting(model, {**fitting, **{name: own[name] for name in new}}, where)
    share = sum(own[name].numel() for name in new) / max(1, sum(t.numel() for t in own.values()))
    if share >= MOST_NEW:
        raise ModelError(f"{share:.0%} of the model have no weights there", where=where)
    if new:
        shapes_told = f"{tuple(fitting[new[0]].shape)} there, {tuple(own[new[0]].shape)} here"
        say(f"weights: new at random: {first_few(new)} ({shapes_told})")
    if outside:
        say(f"weights: left out of {where}, beside the model: {first_few(outside)}")
    model.load_state_dict({k: v for k, v in fitting.items() if k not in new}, strict=False)


def _require_fitting(model: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    problems = misfits(model, tensors)
    if not problems:
        return
    # Of the same network with other outputs, as one that was trained on other classes.
    is_head = len(problems) == 1 and problems[0].startswith(OTHER_SHAPE)
    hint = "for other classes train it on them first: edgespiral train --weights FILE"
    raise ModelError(
        f"the weights do not fit the model: {'; '.join(problems)}",
        where=where,
        hint=hint if is_head else None,
    )


def _file_and_key(path: Path) -> tuple[Path, str | None]:
    if is_file(path):
        return path, None
    name, colon, key = path.name.rpartition(":")
    if colon and is_file(path.with_name(name)):
        return path.with_name(name), key
    if not path.is_dir():
        raise ModelError(
            "no such weights file",
            where=str(path),
            hint="name one that is there, or make it: edgespiral train (docs/training.md)",
        )
    inside = sorted(file.name for file in path.iterdir() if file.name.endswith(WEIGHTS_ENDINGS))
    hint = f"name the file in it: {first_few(inside)}" if inside else None
    raise ModelError("is a folder, not a weights file", where=str(path), hint=hint)


def check_outputs(model: nn.Module, splits: DataSplits, check: OutputCheck) -> None:
    """Run two samples through the model in eval mode, and then one.

    Args:
        check: what the data is for says what outputs are to be, as `Task.check_outputs`.

    Raises:
        ModelError: it fails on them, or `check` refuses what it returns.
    """
    inputs, _ = next(iter(splits.validation.epoch(batch_size=2)))
    check(plain(_run(model, inputs)), count(inputs), splits)
    # Where it fails on a sample alone, `check_independence` names the layer.
    try:
        alone = plain(_run(model, rows(inputs, slice(1))))
    except ModelError:
        return
    check(alone, 1, splits)


def check_empty_samples(model: nn.Module, splits: DataSplits) -> None:
    """Run samples that hold nothing, such as a length of 0, a mask of no place or padding alone.

    Raises:
        DataError: one of the first thousand of a split makes the model's outputs no numbers.
    """
    import torch

    specs = leaves(splits.specs)
    if all(_holds_nothing(torch.zeros(1), spec, splits) is None for spec in specs.values()):
        return
    for part in ("train", "validation", "test"):
        source, seen = getattr(splits, part), 0
        for inputs, _ in source.epoch(batch_size=EMPTY_BATCH):
            for name, leaf in leaves(inputs).items():
                empty = _holds_nothing(leaf, specs[name], splits)
                at = -1 if empty is None or not bool(empty.any()) else int(empty.nonzero()[0])
                if at < 0 or _is_finite(_run(model, rows(inputs, slice(at, at + 1)))):
                    continue
                is_named = isinstance(source, NamedSource)
                place = source.place(seen + at, None) if is_named else f"sample {seen + at}"
                raise DataError(
                    f"the model's outputs for {place} are NaN or infinite, of which "
                    f"{name or 'the input'} is {_in_words(leaf[at])}",
                    where=f"{splits.name}: {part}",
                    hint="take such samples away, or have the model allow for them",
                )
            seen += count(inputs)
            if seen >= MOST_LOOKED_AT:
                break


def _holds_nothing(leaf: Tensor, spec: InputSpec, splits: DataSplits) -> Tensor | None:
    """Which samples (N,) are counts of 0 or padding alone; None of inputs that are neither."""
    import torch

    if spec.token_count is not None:
        if splits.padding is None:
            return None
        return (leaf == splits.padding).reshape(len(leaf), -1).all(1)
    if spec.torch_dtype not in (torch.int64, torch.int32, torch.bool):
        return None
    return (leaf <= 0).reshape(len(leaf), -1).all(1)


def _in_words(entry: Tensor) -> str:
    return f"{int(entry)}" if entry.numel() == 1 else "empty"


def _is_finite(outputs: object) -> bool:
    import torch

    ends = leaves(plain(outputs)).values()
    return all(bool(end.isfinite().all()) for end in ends if isinstance(end, torch.Tensor))


def one_output(model: nn.Module, splits: DataSplits, key: str | None) -> nn.Module:
    """`model`, or where it returns an object that has `key`, one that returns that entry alone.

    Raises:
        ModelError: it fails on a validation sample.
    """
    if key is None:
        return model
    # Of two samples: where it fails on one alone, `check_independence` names the layer.
    inputs, _ = next(iter(splits.validation.epoch(batch_size=2)))
    # Of a copy: what is found out of the first call is for `check_answers` to see.
    outputs = plain(_run(copied(model) or model, inputs))
    is_one_of_several = isinstance(outputs, dict) and key in outputs
    return with_one_output(model, key) if is_one_of_several else model


def copied(model: nn.Module) -> nn.Module | None:
    """A copy; None of a module that has none, which is no fault by itself."""
    with suppress(Exception):
        return copy.deepcopy(model)
    return None


def _run(model: nn.Module, inputs: Tensors) -> object:
    import torch

    kinds = {t.dtype for t in model.parameters() if t.is_floating_point()} - {torch.float32}
    kind = str(min(kinds, key=str)).removeprefix("torch.") if kinds else None
    failed = f"the model fails on {count(inputs)} samples of {shapes(inputs)}"
    hint = f"its weights are {kind}: hand over model.float()" if kind else None
    with user_code(ModelError, failed, hint=hint), torch.no_grad(), evaluating(model):
        outputs: object = called(model, inputs)
    return outputs


def _from_factory(spec: str) -> nn.Module:
    from torch import nn

    model = call_factory(spec, ready=lambda named: isinstance(named, nn.Module))
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"the factory returned a {type(model).__name__}, not a torch.nn.Module", where=spec
        )
    return unwrapped(model)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"not a readable safetensors file: {error}", where=str(path)) from error


def _read_pickle(path: Path) -> tuple[object, bool]:
    """What a checkpoint holds, and whether something beside tensors was left out of it."""
    inert: Inert = []
    try:
        check_archive(path)
        inert = stand_ins(path)
        return read_checkpoint(path, inert), bool(inert)
    except ValueError as error:
        what = f"not a readable PyTorch checkpoint: {shortened(str(error))}"
        raise ModelError(what, where=str(path)) from error
    except Exception as error:  # damaged bytes make the unpickler raise anything
        refused = isinstance(error, pickle.UnpicklingError) and "nsupported" in str(error)
        if not refused and not inert:
            raise ModelError("not a readable PyTorch checkpoint", where=str(path)) from error
        raise ModelError(
            NOT_LOADED, where=str(path), hint="save model.state_dict() instead of the whole model"
        ) from error
