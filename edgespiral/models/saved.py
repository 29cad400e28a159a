"""Models on disk: source that rebuilds them and weights, loadable without us."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import inspect
import warnings
from types import ModuleType
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.files import replacing, sha256_file
from edgespiral.models.modes import evaluating
from edgespiral.models.source import source_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn
    from torch.fx import Graph, GraphModule, Node

SOURCE, WEIGHTS = "model.py", "model.safetensors"
# Defaults of `forward` that tracing can hold fixed.
PLAIN = (bool, int, float, str, type(None))


class _Tracer(torch.fx.Tracer):
    # Or what is computed from a buffer would become a constant, and the buffer's name be lost.
    proxy_buffer_attributes = True


def weights_sha256(model: nn.Module) -> str:
    """Digest of the parameters and buffers of `model` and their names."""
    layout = torch.contiguous_format  # what safetensors takes, whatever a model was placed in
    weights = {n: tensor.clone(memory_format=layout) for n, tensor in model.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(weights)).hexdigest()


def trace(model: nn.Module) -> GraphModule:
    """`model` in eval mode as a graph of its layers; `model` itself stays as it was.

    The graph's layers are copies, so cutting them leaves `model` whole; their parameters and
    buffers are `model`'s own, under the same names. Arguments of `forward` with a plain default
    keep it and are gone from the graph. Layers get what they work on as their first argument, and
    `view` is `reshape`, which takes tensors in any memory order.

    Raises:
        ModelError: its forward depends on its inputs' values, or on what `torch.fx` cannot follow.
    """
    with evaluating(model):
        try:
            return _own_layers(_traced(model))
        except Exception as error:
            raise ModelError(
                f"cannot be traced: {_line(error)}",
                where=type(model).__name__,
                hint=f"its forward must not branch on tensor values{_of_sequences(model)}",
            ) from error


def save_model(
    model: GraphModule, folder: Path, *, example: Tensor | None = None
) -> dict[str, str]:
    """Write `model.py` and `model.safetensors` into `folder`; return their SHA-256 by name.

    The source is built and compared with `model` before anything is written, and both files are
    complete before either takes its place; the weights come last, so a folder that has them is
    whole.

    Args:
        model: what `trace` returned, cut or not.
        folder: where the two files go; it exists.
        example: (N, C, H, W); if given, the rebuilt model's outputs on it are compared too.

    Raises:
        ModelError: a layer cannot be written as source, or the source does not rebuild the model.
        RunFolderError: the folder cannot be written.
    """
    source = source_of(model)
    _check_rebuilds(model, source, example)
    # Copies: safetensors refuses tensors that share memory, and every name is to be in the file.
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    with replacing(folder / WEIGHTS) as weights, replacing(folder / SOURCE) as text:
        # As bytes: the library's own writer reports a full disk as an error of another kind.
        weights.write_bytes(safetensors.torch.save(tensors, metadata={"format": "pt"}))
        text.write_text(source, encoding="utf-8")
    return {name: sha256_file(folder / name) for name in (SOURCE, WEIGHTS)}


def load_model(folder: Path) -> nn.Module:
    """The model that `save_model` wrote into `folder`, in eval mode.

    This runs the folder's `model.py`.

    Raises:
        ModelError: the folder holds no model, or a damaged one.
    """
    for name in (SOURCE, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError("no such file", where=str(folder / name))
    try:
        model: nn.Module = _import(folder / SOURCE).load()
    except Exception as error:
        raise ModelError(f"cannot be loaded: {_line(error)}", where=str(folder)) from error
    return model


def _of_sequences(model: nn.Module) -> str:
    recurrent = any(isinstance(layer, torch.nn.RNNBase) for layer in model.modules())
    return ", nor pack sequences" if recurrent else ""


def _traced(model: nn.Module) -> GraphModule:
    every = inspect.signature(model.forward).parameters.values()
    named = [p for p in every if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    fixed = {p.name: p.default for p in named if isinstance(p.default, PLAIN)}
    graph = _Tracer().trace(model, concrete_args=fixed or None)
    # The placeholders are renamed, but come in the order of the named parameters.
    for parameter, node in zip(named, graph.find_nodes(op="placeholder"), strict=False):
        if parameter.name in fixed:
            _erase(node)
    _normalise(model, graph)
    return torch.fx.GraphModule(model, graph, type(model).__name__)


def _normalise(model: nn.Module, graph: Graph) -> None:
    for node in graph.nodes:
        if node.op == "call_method" and node.target == "view" and _takes_sizes(node):
            node.target = "reshape"
        if node.op == "call_module" and not node.args:
            forward = inspect.signature(model.get_submodule(str(node.target)).forward)
            bound = forward.bind(**node.kwargs)
            node.args, node.kwargs = bound.args, bound.kwargs


def _takes_sizes(view: Node) -> bool:
    return not view.kwargs and not isinstance(view.args[1], torch.dtype)


def _erase(node: Node) -> None:
    for user in list(node.users):
        _erase(user)
    node.graph.erase_node(node)


def _own_layers(graph: GraphModule) -> GraphModule:
    tensors = [*graph.parameters(), *graph.buffers()]
    own: GraphModule = copy.deepcopy(graph, {id(tensor): tensor for tensor in tensors})
    return own.eval()


def _check_rebuilds(model: GraphModule, source: str, example: Tensor | None) -> None:
    built = ModuleType("model")
    built.__file__ = SOURCE
    # Without values: neither time nor random numbers are spent on initial weights.
    with torch.device("cpu" if example is not None else "meta"), torch.random.fork_rng(devices=[]):
        exec(compile(source, SOURCE, "exec"), built.__dict__)  # noqa: S102 (our own source)
        rebuilt = built.Model().eval()
    wrong = sorted(_description(rebuilt) ^ _description(model))
    if wrong:
        raise ModelError("its source does not rebuild it", where=wrong[0][0])
    if example is not None:
        _check_outputs(model, rebuilt, example)


def _check_outputs(model: GraphModule, rebuilt: nn.Module, example: Tensor) -> None:
    rebuilt.load_state_dict(model.state_dict())
    with torch.no_grad(), evaluating(model):
        try:
            torch.testing.assert_close(rebuilt(example), model(example))
        except AssertionError as error:
            raise ModelError(f"its source computes something else: {_line(error)}") from error
        except Exception as error:
            shape = tuple(example.shape)
            raise ModelError(f"it fails on an input of shape {shape}: {_line(error)}") from error


def _description(model: nn.Module) -> set[tuple[str, str]]:
    return {(name, f"{v.dtype} {v.shape}") for name, v in model.state_dict().items()}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


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
