"""Models on disk: source that rebuilds them and weights, loadable without us."""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_model as save_weights

from edgespiral.core.codegen import source_of
from edgespiral.core.errors import ModelError
from edgespiral.core.files import replacing, sha256_file, write_text

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from torch import nn
    from torch.fx import GraphModule

SOURCE, WEIGHTS = "model.py", "model.safetensors"


def trace(model: nn.Module) -> GraphModule:
    """`model` as a graph of its layers, traced in eval mode and left in the mode it was in.

    Parameters are shared with `model` and keep their names.

    Raises:
        ModelError: its forward depends on its inputs' values, or on what `torch.fx` cannot follow.
    """
    training = model.training
    try:
        return torch.fx.symbolic_trace(model.eval()).eval()
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"cannot be traced: {reason}",
            where=type(model).__name__,
            hint="its forward must not branch on tensor values",
        ) from error
    finally:
        model.train(training)


def save_model(model: GraphModule, folder: Path) -> dict[str, str]:
    """Write `model.py` and `model.safetensors` into `folder`; return their SHA-256 by name.

    The weights are written last: a folder that has them is whole.

    Raises:
        ModelError: a layer cannot be written as source, or the source does not rebuild the model.
        RunFolderError: the folder cannot be written.
    """
    source = source_of(model)
    write_text(folder / SOURCE, source)
    _check_rebuilds(model, _import(folder / SOURCE))
    with replacing(folder / WEIGHTS) as temporary:
        save_weights(model, str(temporary))
    return {name: sha256_file(folder / name) for name in (SOURCE, WEIGHTS)}


def load_model(folder: Path) -> nn.Module:
    """The model that `save_model` wrote into `folder`, in eval mode.

    Raises:
        ModelError: the folder holds no model, or a damaged one.
    """
    for name in (SOURCE, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError("no such file", where=str(folder / name))
    try:
        model: nn.Module = _import(folder / SOURCE).load()
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"cannot be loaded: {reason}", where=str(folder)) from error
    return model


def _check_rebuilds(model: GraphModule, source: ModuleType) -> None:
    rebuilt = {name: value.shape for name, value in source.Model().state_dict().items()}
    expected = {name: value.shape for name, value in model.state_dict().items()}
    wrong = sorted(set(rebuilt.items()) ^ set(expected.items()))
    if wrong:
        raise ModelError("its source does not rebuild it", where=wrong[0][0])


def _import(path: Path) -> ModuleType:
    name = f"edgespiral_model_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module
