"""Python source of a traced model: plain PyTorch, readable, independent of us."""

from __future__ import annotations

import inspect
import re
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.fx import GraphModule

SKIPPED_ARGUMENTS = ("self", "args", "kwargs", "device", "dtype")
# Constructor arguments that the module keeps under another name, as a tensor or None.
KEPT_AS_TENSOR = {"bias": ("bias", "in_proj_bias"), "add_bias_kv": ("bias_k",)}

HEADER = '''"""A compressed model, written by EdgeSpiral. It needs only torch and safetensors.

    from model import load
    model = load()
"""

from pathlib import Path

import torch
from safetensors.torch import load_model
from torch import nn
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


def load(weights=Path(__file__).with_name("model.safetensors")):
    """The model with its weights, in eval mode."""
    model = Model()
    load_model(model, weights)
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
    parts = [
        HEADER,
        *_imports(code.src, code.globals),
        *(["import torch.fx\n\n", "\n".join(wrapped), "\n"] if wrapped else []),
        "\n\nclass Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n",
        *(f'        _place(self, "{path}", {item})\n' for path, item in _items(model)),
        *(f'        _place(self, "{path}", {item})\n' for path, item in _ties(model)),
        f"\n{forward}\n",
        FOOTER,
    ]
    return "".join(parts)


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
    called = {str(node.target) for node in model.graph.nodes if node.op == "call_module"}
    modules = {path: module for path, module in model.named_modules() if path in called}
    for path, module in modules.items():
        yield path, _constructor(path, module)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for path, tensor in model.state_dict(keep_vars=True).items():
        if not any(path.startswith(f"{owner}.") for owner in modules):
            yield path, _empty(tensor, is_parameter=path in parameters)


def _ties(model: GraphModule) -> Iterator[tuple[str, str]]:
    first: dict[int, str] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        owner = first.setdefault(id(parameter), path)
        if owner != path:
            yield path, f'self.get_parameter("{owner}")'


def _empty(tensor: torch.Tensor, *, is_parameter: bool) -> str:
    empty = f"torch.empty({tuple(tensor.shape)}, dtype={tensor.dtype})"
    if not is_parameter:
        return empty
    return f"nn.Parameter({empty}, requires_grad={tensor.is_floating_point()})"


def _constructor(path: str, module: nn.Module) -> str:
    kind = type(module)
    if not hasattr(nn, kind.__name__):
        raise ModelError(
            f"cannot write a {kind.__name__} as source", where=path, hint="use layers of torch.nn"
        )
    # LSTM and GRU pass all but their mode on to their base.
    is_recurrent = isinstance(module, nn.RNNBase)
    signature = inspect.signature(nn.RNNBase.__init__ if is_recurrent else kind.__init__)
    parameters = [p for n, p in signature.parameters.items() if not (is_recurrent and n == "mode")]
    arguments = [a for p in parameters for a in _argument(path, module, p)]
    return f"nn.{kind.__name__}({', '.join(arguments)})"


def _argument(path: str, module: nn.Module, parameter: inspect.Parameter) -> Iterator[str]:
    name = parameter.name
    if name in SKIPPED_ARGUMENTS:
        return
    if name in KEPT_AS_TENSOR:
        kept = [getattr(module, own) for own in KEPT_AS_TENSOR[name] if hasattr(module, own)]
        value: object = kept[0] if isinstance(kept[0], bool) else kept[0] is not None
    elif hasattr(module, name):
        value = getattr(module, name)
    elif parameter.default is not inspect.Parameter.empty:
        return
    else:
        raise ModelError(f"{type(module).__name__} does not keep its {name}", where=path)
    if not isinstance(value, int | float | str | tuple | list | torch.Size | None):
        raise ModelError(f"{name} of {type(module).__name__} is not a plain value", where=path)
    shown = tuple(value) if isinstance(value, torch.Size) else value
    if parameter.default is inspect.Parameter.empty or shown != parameter.default:
        yield f"{name}={shown!r}"
