"""A model from a name or the user's own file, with its weights, never executing pickled code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, first_few
from edgespiral.core.factory import call_factory, is_factory
from edgespiral.core.files import is_file
from edgespiral.core.text import shortened
from edgespiral.core.user_code import user_code
from edgespiral.models.catalog import build
from edgespiral.models.checkpoint_files import read_checkpoint
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.batches import DataSplits

WRAPPERS = ("state_dict", "model", "model_state_dict")


def load_model(
    spec: str,
    *,
    weights: Path | None = None,
    classes: int,
    input_shape: tuple[int, ...],
    token_count: int | None = None,
) -> nn.Module:
    """A model by zoo name or `path/to/file.py:factory`, with its weights if given.

    Args:
        spec: a name of `zoo.names()`, or a factory called without arguments.
        weights: a `.safetensors` file, or a `.pt` read by `torch.load(weights_only=True)`.
        classes: number of logits of a zoo model.
        input_shape: (C, H, W) of a zoo model, (T,) of one for text.
        token_count: of a zoo model for text, see `DataSplits`.

    Raises:
        UsageError: unknown name, or a factory that cannot be found or fails.
        ModelError: the factory returns no module, or the weights cannot be read or do not fit.
    """
    if is_factory(spec):
        model = _from_factory(spec)
    else:
        model = build(spec, classes=classes, input_shape=input_shape, token_count=token_count)
    if weights is not None:
        fit_state(model, read_state(weights), where=str(weights))
    return model


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name.

    Raises:
        ModelError: missing, damaged, or a pickle that holds more than tensors.
    """
    if not is_file(path):
        raise ModelError("no such weights file", where=str(path))
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _unwrapped(_read_pickle(path), path)


def fit_state(model: nn.Module, state: dict[str, Tensor], *, where: str) -> None:
    """Load `state` into `model`, every key of it.

    Raises:
        ModelError: keys are missing, unexpected or of another shape; the first few are named.
    """
    # A DataParallel checkpoint differs only in this prefix.
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    problems = _misfits(model.state_dict(), state)
    if problems:
        raise ModelError(f"the weights do not fit the model: {'; '.join(problems)}", where=where)
    model.load_state_dict(state)


def check_logits(model: nn.Module, splits: DataSplits) -> None:
    """Run two samples through the model in eval mode, and then one.

    Raises:
        ModelError: it fails on them, or returns anything but finite logits (N, classes).
    """
    inputs, _ = next(iter(splits.validation.epoch(batch_size=2)))
    for batch in (inputs, inputs[:1]):
        outputs = _run(model, batch)
        _require_logits(outputs, (len(batch), len(splits.class_names)))


def _run(model: nn.Module, inputs: Tensor) -> object:
    import torch

    kinds = {t.dtype for t in model.parameters() if t.is_floating_point()} - {torch.float32}
    kind = str(min(kinds, key=str)).removeprefix("torch.") if kinds else None
    failed = f"the model fails on an input of shape {tuple(inputs.shape)}"
    hint = f"its weights are {kind}: hand over model.float()" if kind else None
    with user_code(ModelError, failed, hint=hint), torch.no_grad(), evaluating(model):
        outputs: object = model(inputs)
    return outputs


def _require_logits(outputs: object, expected: tuple[int, int]) -> None:
    import torch

    if not isinstance(outputs, torch.Tensor):
        got, hint = _described(outputs)
    elif tuple(outputs.shape) != expected or not outputs.is_floating_point():
        hint = "return one tensor of (samples, classes); its classes must be those of the data"
        kind = str(outputs.dtype).removeprefix("torch.")
        got = f"a {kind} tensor {tuple(outputs.shape)}"
        if expected[0] == 1 and outputs.is_floating_point():
            got = f"{tuple(outputs.shape)} for a batch of one"
    elif not bool(outputs.isfinite().all()):
        raise ModelError("the model returns NaN or infinite logits", hint="check its weights")
    else:
        return
    raise ModelError(f"the model returns {got}, not logits of shape {expected}", hint=hint)


def _described(outputs: object) -> tuple[str, str]:
    """What came instead of a tensor, and how to get one."""
    kind = type(outputs).__name__
    if isinstance(outputs, Mapping):
        names = first_few([str(name) for name in outputs])
        best = "logits" if "logits" in outputs else next(iter(outputs), "...")
        return f"a {kind} of {names}", f"wrap it so that it returns outputs[{best!r}] alone"
    if isinstance(outputs, (tuple, list)):
        return f"a {kind} of {len(outputs)}", "wrap it so that it returns the logits alone"
    return f"a {kind}", "return one tensor of (samples, classes)"


def _from_factory(spec: str) -> nn.Module:
    from torch import nn

    model = call_factory(spec)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"the factory returned a {type(model).__name__}, not a torch.nn.Module", where=spec
        )
    return model


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"not a readable safetensors file: {error}", where=str(path)) from error


def _read_pickle(path: Path) -> object:
    try:
        return read_checkpoint(path)
    except ValueError as error:
        what = f"not a readable PyTorch checkpoint: {shortened(str(error))}"
        raise ModelError(what, where=str(path)) from error
    except Exception as error:  # damaged bytes make the unpickler raise anything
        refused = isinstance(error, pickle.UnpicklingError) and "Unsupported global" in str(error)
        if not refused:
            raise ModelError("not a readable PyTorch checkpoint", where=str(path)) from error
        raise ModelError(
            "the file holds more than tensors and is not loaded, since that would run its code",
            where=str(path),
            hint="save model.state_dict() instead of the whole model",
        ) from error


def _unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    import torch

    while isinstance(content, dict) and not _is_state(content):
        inner = next((content[key] for key in WRAPPERS if key in content), None)
        content = inner
    if not isinstance(content, dict):
        raise ModelError("holds no state dict", where=str(path))
    return {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}


def _is_state(content: dict[object, object]) -> bool:
    import torch

    return bool(content) and all(isinstance(value, torch.Tensor) for value in content.values())


def _misfits(expected: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    reshaped = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in given and given[key].shape != value.shape
    ]
    found = {
        "missing": [key for key in expected if key not in given],
        "unexpected": [key for key in given if key not in expected],
        "other shape": reshaped,
    }
    return [f"{kind}: {first_few(keys)}" for kind, keys in found.items() if keys]
