"""Models on disk: source that rebuilds them and weights, loadable without us."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import inspect
import time
import warnings
from collections import OrderedDict
from types import ModuleType
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch.fx import GraphModule
from torch.fx.proxy import TraceError

from edgespiral.core.errors import ModelError, first_few
from edgespiral.core.nested import count, leaves, mapped, rows, shapes, template
from edgespiral.core.system.analysis_limit import allow_for_passes, analysing
from edgespiral.core.system.files import replacing, sha256_file
from edgespiral.core.system.time_limit import limited
from edgespiral.core.text import words_of
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating
from edgespiral.models.source import given_values, source_of
from edgespiral.models.tracing.entered import OwnGradientError
from edgespiral.models.tracing.functional_layers import restore_layers
from edgespiral.models.tracing.layer_places import drop_unread
from edgespiral.models.tracing.layers import layer_class
from edgespiral.models.tracing.places import lines_of, place_of
from edgespiral.models.tracing.targets import install
from edgespiral.models.tracing.tracer import Tracer
from edgespiral.models.tracing.written import keep_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn
    from torch.fx import Graph, Node

    from edgespiral.core.nested import Tensors

install()

SOURCE, WEIGHTS = "model.py", "model.safetensors"
# By the clock: a forward that waits for something computes nothing, and is told all the same.
MOST_SECONDS = 300.0
# Batch sizes that a model is run with while it is traced, and those that its graph is tried at.
FOLLOWED_BATCHES = (2, 3)
TRIED_BATCHES = (1, 4)
# What does otherwise in a graph than in a forward, by the names that lines have for it.
NOT_TRACED = ("autocast", "functional_call", "randperm", "rand(", "randn(", "randint(")
# Of the largest output: the graph does what the model does, though kernels may round otherwise.
ALLOWED_DIFFERENCE = {torch.float16: 1e-2, torch.bfloat16: 1e-1}
USUAL_DIFFERENCE = 1e-4


def weights_sha256(model: nn.Module) -> str:
    """Digest of the parameters and buffers of `model` and their names."""
    layout = torch.contiguous_format  # what safetensors takes, whatever a model was placed in
    weights = {n: tensor.clone(memory_format=layout) for n, tensor in model.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(weights)).hexdigest()


def trace(model: nn.Module, inputs: Tensors | None = None) -> GraphModule:
    """`model` in eval mode as a graph of its layers; `model` itself stays as it was.

    The graph's layers are copies, so cutting them leaves `model` whole; their parameters and
    buffers are `model`'s own, under the same names. Arguments of `forward` with a default keep it
    and are gone from the graph. Layers get what they work on as their first argument, and `view`
    is `reshape`, which takes tensors in any memory order.

    Args:
        model: takes one tensor, unless `inputs` has several; outputs become plain tuples and dicts.
        inputs: samples (N, ...); with them sizes are known while tracing, and the graph is compared
            with `model` at several batch sizes.

    Raises:
        ModelError: its forward depends on its inputs' values or on the batch's size, or on what
            cannot be followed; the user's line is named. Or it takes too long (`analysing`).
    """
    _check_names(model)
    batches = () if inputs is None else tuple(_batch(inputs, n) for n in FOLLOWED_BATCHES)
    in_time = limited(MOST_SECONDS, "tracing the model")
    with analysing(), in_time, evaluating(model), torch.enable_grad():
        if inputs is not None:
            allow_for_passes(_pass_seconds(model, _batch(inputs, 1)))
        tracer = Tracer(model, batches)
        try:
            graph = tracer.trace_model()
            _normalise(model, graph.graph)
            graph = _own_layers(graph)
            restore_layers(graph, model)
            drop_unread(graph)
            keep_inputs(graph)
        except ModelError:
            raise
        except Exception as error:
            raise _untraceable(model, error) from error
        if inputs is not None:
            check_computes(graph, model, inputs, tracer)
    return graph


def _check_names(model: nn.Module) -> None:
    """Refuse a model with a member by a name that its graph has for something of its own."""
    if isinstance(model, GraphModule):
        return
    own = set(dir(GraphModule)).difference(dir(torch.nn.Module)) | {"meta"}
    taken = sorted(own & {*model._modules, *model._parameters, *model._buffers})
    if taken:
        raise ModelError(
            f"cannot be traced: a graph has a {taken[0]!r} of its own",
            where=f"{type(model).__name__}.{taken[0]}",
            hint="give this part of the model another name",
        )


def _pass_seconds(model: nn.Module, sample: Tensors) -> float:
    """Processor time of a pass; 0 if the model fails, which the trace will tell of."""
    start_s = time.thread_time()
    try:
        _outputs(model, sample)
    except ModelError:
        raise
    except Exception:  # a forward can fail in any way
        return 0.0
    return time.thread_time() - start_s


def check_computes(
    graph: nn.Module, model: nn.Module, inputs: Tensors, tracer: Tracer | None = None
) -> None:
    """Compare two modules in eval mode on samples, at several batch sizes.

    Args:
        graph: what is to compute the same as `model`.
        model: the reference.
        inputs: samples (N, ...).
        tracer: that made `graph`; it knows lines that may be at fault.

    Raises:
        ModelError: the outputs differ by more than rounding.
    """
    for size in TRIED_BATCHES:
        batch = _batch(inputs, size)
        expected = _outputs(model, batch)
        try:
            problem = _difference(_outputs(graph, batch), expected)
        except Exception as error:  # the generated code can fail in any way
            problem = f"fails: {words_of(error)}"
        if problem:
            places = [*tracer.batch_places, *tracer.written_places] if tracer else []
            places += [*_changed_buffers(model, batch), *lines_of(model, NOT_TRACED)]
            suspects = f" (see {first_few(places)})" if places else ""
            raise ModelError(
                f"its trace {problem} on a batch of {size}{suspects}",
                where=type(model).__name__,
                hint="its forward must do the same for every batch size, draw nothing at random, "
                "change neither its buffers nor a tensor that it is a view of, and use none of "
                f"{', '.join(NOT_TRACED[:2])}",
            )


def _changed_buffers(model: nn.Module, batch: Tensors) -> list[str]:
    """What says that a forward changes buffers of `model`, which are put back."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    _outputs(model, batch)
    changed = [n for n, b in model.named_buffers() if not torch.equal(b, before.get(n, b))]
    with torch.no_grad():
        for name in changed:
            model.get_buffer(name).copy_(before[name])
    return [f"its buffer {name}" for name in changed]


def check_rebuilds(model: GraphModule, example: Tensors | None = None) -> str:
    """The source of `model`, once it is known to rebuild it.

    Args:
        model: what `trace` returned, cut or not.
        example: (N, ...); if given, the rebuilt model's outputs on it are compared too.

    Raises:
        ModelError: a layer cannot be written as source, or the source does not rebuild the model.
    """
    source = source_of(model)
    built = ModuleType("model")
    built.__file__ = SOURCE
    # Without values: neither time nor random numbers are spent on initial weights.
    with torch.device("cpu" if example is not None else "meta"), torch.random.fork_rng(devices=[]):
        exec(compile(source, SOURCE, "exec"), built.__dict__)  # noqa: S102 (our own source)
        # Its file is not written yet, nor are its values asked for.
        arguments = {"weights": None} if any(given_values(model)) else {}
        rebuilt = built.Model(**arguments).eval()
    wrong = sorted(_description(rebuilt) ^ _description(model))
    if wrong:
        raise ModelError("its source does not rebuild it", where=wrong[0][0])
    if example is not None:
        _check_outputs(model, rebuilt, example)
    return source


def save_model(
    model: GraphModule, folder: Path, *, example: Tensors | None = None
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
    source = check_rebuilds(model, example)
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
        raise ModelError(f"cannot be loaded: {words_of(error)}", where=str(folder)) from error
    return model


def _batch(inputs: Tensors, size: int) -> Tensors:
    """So many of the samples, from the first again where they are too few."""
    return rows(inputs, torch.arange(size) % count(inputs))


@torch.no_grad()
def _outputs(model: nn.Module, batch: Tensors) -> Tensors:
    with evaluating(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return call(model, mapped(torch.Tensor.clone, batch))


def _difference(outputs: Tensors, expected: Tensors) -> str | None:
    if template(outputs) != template(expected):
        return "returns something else"
    pairs = zip(leaves(outputs).values(), leaves(expected).values(), strict=True)
    return next(filter(None, (_leaf_difference(*pair) for pair in pairs)), None)


def _leaf_difference(outputs: object, expected: object) -> str | None:
    if not isinstance(expected, torch.Tensor) or not isinstance(outputs, torch.Tensor):
        return None if type(outputs) is type(expected) else "returns something else"
    if outputs.shape != expected.shape:
        return f"returns {tuple(outputs.shape)} and not {tuple(expected.shape)}"
    if outputs.dtype != expected.dtype:
        return f"returns {outputs.dtype} and not {expected.dtype}"
    allowed = ALLOWED_DIFFERENCE.get(expected.dtype, USUAL_DIFFERENCE)
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    same = torch.allclose(outputs, expected, rtol=0, atol=allowed * scale, equal_nan=True)
    return None if same else "computes something else"


def _untraceable(model: nn.Module, error: Exception) -> ModelError:
    place, code = place_of(error)
    name = type(model).__name__
    hint = None
    if isinstance(error, OwnGradientError):
        hint = error.hint
    elif isinstance(error, TraceError):
        recurrent = any(isinstance(layer, torch.nn.RNNBase) for layer in model.modules())
        sequences = ", nor pack sequences" if recurrent else ""
        hint = f"its forward must not branch on tensor values{sequences}"
    reason = f"`{code}`: {words_of(error)}" if code else words_of(error)
    return ModelError(
        f"cannot be traced: {reason}", where=f"{name} ({place})" if place else name, hint=hint
    )


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


def _own_layers(graph: GraphModule) -> GraphModule:
    """The graph with copies of the layers, as plain as their source will rebuild them."""
    memo: dict[int, object] = {id(t): t for t in (*graph.parameters(), *graph.buffers())}
    for layer in graph.modules():
        for hooks in (layer._forward_pre_hooks, layer._forward_hooks):
            memo[id(hooks)] = OrderedDict()  # those that change something are in the graph
    own: GraphModule = copy.deepcopy(graph, memo)
    for path in {str(node.target) for node in own.graph.find_nodes(op="call_module")}:
        layer = own.get_submodule(path)
        layer.__class__ = layer_class(layer) or type(layer)
    return own.eval()


def _check_outputs(model: GraphModule, rebuilt: nn.Module, example: Tensors) -> None:
    rebuilt.load_state_dict(model.state_dict())
    try:
        expected, outputs = (_outputs(network, example) for network in (model, rebuilt))
    except Exception as error:
        what = f"it fails on inputs of {shapes(example)}"
        raise ModelError(f"{what}: {words_of(error)}") from error
    problem = _difference(outputs, expected)
    if problem:
        raise ModelError(f"its source {problem}", where=type(model).__name__)


def _description(model: nn.Module) -> set[tuple[str, str]]:
    return {(name, f"{v.dtype} {v.shape}") for name, v in model.state_dict().items()}


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
