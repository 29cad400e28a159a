"""Python source of a traced model: plain PyTorch, readable, independent of us."""

from __future__ import annotations

import ast
import inspect
import math
import re
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.models.fixed import FIXED, fixed_names
from edgespiral.models.tracing.layers import layer_class

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.fx import GraphModule

DEVICE_ARGUMENTS = ("self", "args", "kwargs", "device", "dtype")
# They only say how to start, or are old names that nothing reads.
UNKEPT_ARGUMENTS = ("_weight", "_freeze", "min_value", "max_value")
# What nn.RNN takes besides its base's arguments.
NONLINEARITY = inspect.Parameter("nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh")
# Constructor arguments that the module keeps under another name, as a tensor or None.
KEPT_AS_TENSOR = {"bias": ("bias", "in_proj_bias"), "add_bias_kv": ("bias_k",)}

HEADER = '''"""A compressed model, written by EdgeSpiral. It needs only torch and safetensors.

    from model import load
    model = load()
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
'''

PLACE = """
WEIGHTS = Path(__file__).with_name("model.safetensors")
"""

# What of the two differs where `Model` reads values from the file.
SAFETENSORS = "from safetensors.torch import load_file\n"
SAFE_OPEN = "from safetensors import safe_open\n"
ARGUMENT = "ARGUMENT"

FIXING = f"""

def _fixed(layer, *names):
    \"""A layer of which these parameters are constants, which no training changes.\"""
    for name in names:
        layer.get_parameter(name).requires_grad_(False)
    layer.{FIXED} = names
    return layer
"""

BEGINNING = '''

def _begin(model, weights, constants, drawn):
    """Give a new model what none of its layers begins with, by a file of weights.

    Constants, which no training changes, are the file's. Parameters of the model's own are drawn
    at random, with the mean and the deviation that they have there. Without a file, nothing is
    given: all values are to follow, as by `load_state_dict`.
    """
    if weights is None:
        return
    state = model.state_dict()
    with torch.no_grad(), safe_open(weights, framework="pt") as file:
        for name in constants:
            state[name].copy_(file.get_tensor(name))
        for name in drawn:
            trained = file.get_tensor(name)
            noise = trained.std(correction=0) * torch.randn_like(trained)
            state[name].copy_(trained.mean() + noise)
'''

FOOTER = '''

def _place(root, path, item):
    """Put a module, a parameter or a buffer where its dotted path says."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root._modules[parent]
    if isinstance(item, nn.Module):
        root.add_module(name, item)
    elif isinstance(item, nn.Parameter):
        root.register_parameter(name, item)
    else:
        root.register_buffer(name, item)


def load(weights=WEIGHTS):
    """The model with its weights, in eval mode."""
    model = Model(ARGUMENT)
    model.load_state_dict(load_file(weights))
    return model.eval()
'''


def source_of(model: GraphModule) -> str:
    """Python source with a class `Model` and a function `load`.

    The class rebuilds `model` with the same parameter names; its `forward` is the traced code.

    Raises:
        ModelError: a layer's constructor arguments cannot be read back from it.
    """
    for node in model.graph.nodes:
        # Annotations of the user's forward would drag in imports and mean nothing here.
        node.type = None
    code = model.graph.python_code("self")
    # Functions that tracing must not enter are declared so at the top of the module.
    before, _, body = code.src.partition("def forward")
    wrapped = [line for line in before.splitlines() if "wrap(" in line]
    forward = "\n".join(f"    {line}".rstrip() for line in f"def forward{body}".splitlines())
    items = [*_items(model), *_ties(model)]
    constants, drawn = given_values(model)
    has_given = bool(constants or drawn)
    argument = ", weights=WEIGHTS" if has_given else ""
    parts = [
        HEADER.replace(SAFETENSORS, f"{SAFE_OPEN}{SAFETENSORS}" if has_given else SAFETENSORS),
        *_imports(code.src, code.globals),
        *(["import torch.fx\n\n", "\n".join(wrapped), "\n"] if wrapped else []),
        PLACE,
        *([FIXING] if any(item.startswith("_fixed(") for _, item in items) else []),
        *([BEGINNING] if has_given else []),
        f"\n\nclass Model(nn.Module):\n    def __init__(self{argument}):\n",
        "        super().__init__()\n",
        *(f"        _place(self, {path!r}, {item})\n" for path, item in items),
        *([f"        _begin(self, weights, {constants!r}, {drawn!r})\n"] if has_given else []),
        f"\n{forward}\n",
        FOOTER.replace(ARGUMENT, "weights" if has_given else ""),
    ]
    return "".join(parts)


def given_values(model: GraphModule) -> tuple[list[str], list[str]]:
    """Names of what a new model of `model`'s layers lacks: (constants, parameters of its own).

    Constants are buffers that no layer makes for itself, such as filters of a front end, and
    parameters that are fixed. Parameters of its own belong to no layer, such as a class token.
    Where there are some, the written `Model` takes the file of weights that has their values.

    Raises:
        ModelError: as `own_state`.
    """
    constants = [
        f"{path}.{name}"
        for path, module in _called(model).items()
        for name in fixed_names(module)
        if name in module._parameters
    ]
    parameters = dict(model.named_parameters(remove_duplicate=False))
    drawn: list[str] = []
    for path, tensor in _outside_layers(model):
        is_trained = path in parameters and (tensor.is_floating_point() or tensor.is_complex())
        (drawn if is_trained else constants).append(path)
    return constants, drawn


def _imports(source: str, names: dict[str, object]) -> Iterator[str]:
    for name, value in sorted(names.items()):
        if name == "torch" or not re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", source):
            continue
        if isinstance(value, ModuleType):
            yield f"import {value.__name__} as {name}\n"
        elif name in ("inf", "nan"):
            yield f"from math import {name}\n"
        elif value is type(None):
            yield f"{name} = type(None)\n"
        else:
            place, own = getattr(value, "__module__", None), getattr(value, "__name__", None)
            if place is None or own is None:
                raise ModelError(f"cannot write {name} as Python source")
            yield f"from {place} import {own} as {name}\n"


def _items(model: GraphModule) -> Iterator[tuple[str, str]]:
    for path, module in _called(model).items():
        constants = [name for name in fixed_names(module) if name in module._parameters]
        call = _constructor(path, module)
        yield path, f"_fixed({', '.join([call, *map(repr, constants)])})" if constants else call
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for path, tensor in _outside_layers(model):
        yield path, _empty(tensor, is_parameter=path in parameters)


def _called(model: GraphModule) -> dict[str, nn.Module]:
    """The layers that are called, by their paths."""
    paths = {str(node.target) for node in model.graph.nodes if node.op == "call_module"}
    return {path: module for path, module in model.named_modules() if path in paths}


def _outside_layers(model: GraphModule) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers that no new layer brings with it, by their paths."""
    layers = _called(model).items()
    own = {f"{path}.{name}" for path, layer in layers for name in own_state(layer)}
    return ((path, t) for path, t in model.state_dict(keep_vars=True).items() if path not in own)


def _ties(model: GraphModule) -> Iterator[tuple[str, str]]:
    first: dict[int, str] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        owner = first.setdefault(id(parameter), path)
        if owner != path:
            yield path, f"self.get_parameter({owner!r})"


def _empty(tensor: torch.Tensor, *, is_parameter: bool) -> str:
    empty = f"torch.empty({tuple(tensor.shape)}, dtype={tensor.dtype})"
    if not is_parameter:
        return empty
    return f"nn.Parameter({empty}, requires_grad={tensor.is_floating_point()})"


def own_state(layer: nn.Module) -> set[str]:
    """Names of the parameters and buffers that a layer of `layer`'s arguments has when it is new.

    Raises:
        ModelError: its arguments cannot be read back from it.
    """
    with torch.device("meta"):
        new = eval(_constructor("", layer), {"nn": nn, "torch": torch})  # noqa: S307 (our own)
    return set(new.state_dict())


def _constructor(path: str, module: nn.Module) -> str:
    kind = layer_class(module)
    if kind is None:
        raise ModelError(
            f"cannot write a {type(module).__name__} as source",
            where=path,
            hint="use layers of torch.nn",
        )
    arguments = [a for p in _parameters(module) for a in _argument(path, module, p)]
    return f"nn.{kind.__name__}({', '.join(arguments)}){_conversion(module)}"


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    if not isinstance(module, nn.RNNBase):
        kind = layer_class(module) or type(module)
        return [*inspect.signature(kind.__init__).parameters.values()]
    # Recurrent layers pass all but their mode on to their base.
    shared = inspect.signature(nn.RNNBase.__init__).parameters.values()
    own = [NONLINEARITY] if isinstance(module, nn.RNN) else []
    return [*(p for p in shared if p.name != "mode"), *own]


def _conversion(module: nn.Module) -> str:
    tensors = [*module.parameters(), *module.buffers()]
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()} - {torch.float32}
    return f".to({kinds.pop()})" if kinds else ""


def _argument(path: str, module: nn.Module, parameter: inspect.Parameter) -> Iterator[str]:
    name = parameter.name
    if name in DEVICE_ARGUMENTS or name in UNKEPT_ARGUMENTS:
        return
    if name in KEPT_AS_TENSOR:
        tensors = [getattr(module, own) for own in KEPT_AS_TENSOR[name] if hasattr(module, own)]
        value: object = tensors[0] if isinstance(tensors[0], bool) else tensors[0] is not None
    elif hasattr(module, name):
        value = getattr(module, name)
    else:
        raise ModelError(f"{type(module).__name__} does not keep its {name}", where=path)
    value = _plain(value)
    literal = _literal(value, f"{name} of {type(module).__name__}", path)
    if parameter.default is inspect.Parameter.empty or value != parameter.default:
        yield f"{name}={literal}"


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    return tuple(value) if isinstance(value, torch.Size) else value


def _literal(value: object, what: str, path: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    try:
        ast.literal_eval(repr(value))
    except (ValueError, SyntaxError) as error:
        raise ModelError(f"{what} is not a plain value", where=path) from error
    return repr(value)
