"""A module as people hand it over, made one of plain layers with plain weights, or refused."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import ModelError, first_few
from edgespiral.core.text import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

# Put around a module to train or run it elsewhere, and where they keep it.
WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
    "AveragedModel": "module",
}
QUANTISING = ("torch.ao.quantization", "torch.ao.nn", "torchao", "torch.quantization")

REMOVED_BY = {
    "parametrisation": "torch.nn.utils.parametrize.remove_parametrizations",
    "weight norm": "torch.nn.utils.remove_weight_norm",
    "spectral norm": "torch.nn.utils.remove_spectral_norm",
    "pruning mask": "torch.nn.utils.prune.remove",
}


def unwrapped(model: nn.Module) -> nn.Module:
    """The module that was trained: without DataParallel, `torch.compile` and the like around it.

    Raises:
        ModelError: it cannot be trained or taken apart in the form it is in: scripted, exported,
            quantised, lazy, or without values.
    """
    model = _inner(model)
    for path, module in model.named_modules():
        problem = _problem(module)
        if problem:
            what, hint = problem
            place = f"{path} ({type(module).__name__})" if path else type(module).__name__
            raise ModelError(what, where=place, hint=hint)
    _require_values(model)
    if not any(_is_wrapped(module) for module in model.modules()):
        return model
    model = copy_of(model)  # which also leaves `module.compile()` behind
    for path, module in list(model.named_modules()):
        if path and _is_wrapper(module):
            model.set_submodule(path, _inner(module))
    return model


def with_one_output(model: nn.Module, key: str) -> nn.Module:
    """`model`, of which `forward` returns the entry `key` of its mapping or dataclass alone.

    It shares its layers with `model`, under the same names.
    """
    kind = type(model)

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (torch's own)
        outputs = kind.forward(self, *args, **kwargs)
        return outputs[key] if isinstance(outputs, Mapping) else getattr(outputs, key)

    # Inputs are named by the arguments that it takes.
    forward.__signature__ = inspect.signature(kind.forward)  # type: ignore[attr-defined]

    alone = copy.copy(model)
    alone.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return alone


def folded(model: nn.Module) -> tuple[nn.Module, list[str]]:
    """`model` with plain weights in place of computed ones, and a line for each kind of them.

    Weight and spectral normalisation, masks of `torch.nn.utils.prune` and parametrisations become
    the weights that they make in eval mode. A model without them is given back as it is; one with
    them stays as it was.

    Raises:
        ModelError: one cannot be folded; the layer and what to call are named.
    """
    if not any(True for _ in _computed(model)) and not _has_odd_tensors(model):
        return model, []
    plain = copy_of(model).eval()
    layers: dict[str, list[str]] = {}
    for path, kind, fold in list(_computed(plain)):
        try:
            fold()
        except Exception as error:  # whatever the user's parametrisation raises
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"its {kind} cannot be made plain: {reason}",
                where=path or type(model).__name__,
                hint=f"call {REMOVED_BY[kind]} on it before",
            ) from error
        layers.setdefault(kind, []).append(path or type(model).__name__)
    lines = [
        f"{kind} folded into plain weights: {first_few(paths)}" for kind, paths in layers.items()
    ]
    return plain, lines


def _computed(model: nn.Module) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Each computed weight: its layer's path, its kind, and what folds it."""
    from torch.nn.utils import parametrize, prune
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    for path, layer in model.named_modules():
        if parametrize.is_parametrized(layer):
            for name in list(layer.parametrizations):
                yield path, "parametrisation", _unparametrised(layer, name)
        for hook in list(layer._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                yield path, "weight norm", _unhooked(layer, hook)
            elif isinstance(hook, SpectralNorm):
                yield path, "spectral norm", _unhooked(layer, hook)
            elif isinstance(hook, prune.BasePruningMethod):
                yield path, "pruning mask", _unhooked(layer, hook)


def _unparametrised(layer: nn.Module, name: str) -> Callable[[], object]:
    import torch
    from torch.nn.utils import parametrize

    def fold() -> None:
        # Removing takes the attribute from the class, which the module that was copied has too.
        kind = type(layer)
        own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
        layer.__class__ = type(kind.__name__, kind.__bases__, own)
        parts: Any = layer.parametrizations
        is_trained = any(p.requires_grad for p in parts[name].parameters())
        parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
        if name not in layer._parameters:  # as torch leaves what is made of frozen ones
            value: Any = getattr(layer, name)
            delattr(layer, name)
            setattr(layer, name, torch.nn.Parameter(value.detach(), requires_grad=False))
        layer.get_parameter(name).requires_grad_(is_trained)

    return fold


def _unhooked(layer: nn.Module, hook: Any) -> Callable[[], object]:  # noqa: ANN401
    def fold() -> None:
        name = getattr(hook, "name", None) or hook._tensor_name
        made_of = [p for n, p in layer.named_parameters(recurse=False) if n.startswith(f"{name}_")]
        hook.remove(layer)
        layer.get_parameter(name).requires_grad_(any(p.requires_grad for p in made_of))
        keys = [key for key, own in layer._forward_pre_hooks.items() if own is hook]
        for key in keys:
            del layer._forward_pre_hooks[key]

    return fold


def not_finite(model: nn.Module) -> list[str]:
    """Names of parameters that hold NaN or an infinite number, and of buffers that hold NaN.

    An infinite number in a buffer is a mask. What is no plain array, such as a sparse matrix, is
    not looked into.
    """
    import torch

    parameters = {name: p for name, p in model.named_parameters() if p.layout == torch.strided}
    buffers = {name: b for name, b in model.named_buffers() if b.layout == torch.strided}
    return [
        *(name for name, parameter in parameters.items() if not bool(parameter.isfinite().all())),
        *(name for name, buffer in buffers.items() if bool(buffer.isnan().any())),
    ]


def copy_of(model: nn.Module) -> nn.Module:
    """A copy, which shares with `model` what has none: TorchScript functions, locks, open files.

    Tensors that a hook has computed are no leaves, and copied without their history.

    Raises:
        ModelError: a module, or an attribute with modules or tensors in it, cannot be copied.
    """
    import torch

    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
            elif isinstance(value, torch._C.ScriptFunction):
                memo[id(value)] = value
    copied: nn.Module
    try:
        copied = copy.deepcopy(model, dict(memo))
    except Exception:  # of what the user's modules hold
        shared = {id(value): value for value in _without_copy(model, memo)}
        try:
            copied = copy.deepcopy(model, memo | shared)
        except Exception as error:
            raise _uncopyable(type(model).__name__, error) from error
    return copied


def _without_copy(model: nn.Module, memo: Mapping[int, Any]) -> Iterator[object]:
    """Attributes of modules that cannot be copied, and are neither modules nor tensors."""
    from torch.utils._pytree import tree_leaves

    tensors = (*model.parameters(), *model.buffers())
    # Each attribute is tried for itself, whatever of the model it may refer to.
    own: dict[int, Any] = {id(part): part for part in (*model.modules(), *tensors)}
    own.update(memo)
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            try:
                copy.deepcopy(value, dict(own))
            except Exception as error:
                if any(id(leaf) in own for leaf in tree_leaves(value)):
                    place = f"{path}.{name}" if path else name
                    raise _uncopyable(f"{type(model).__name__}: {place}", error) from error
                yield value


def _uncopyable(where: str, error: Exception) -> ModelError:
    return ModelError(
        f"cannot be copied: {words_of(error)}",
        where=where,
        hint="take away what has no copy, or allow one",
    )


def _has_odd_tensors(model: nn.Module) -> bool:
    """Whether some weight was made in inference mode: a copy of it can be trained."""
    return any(tensor.is_inference() for tensor in (*model.parameters(), *model.buffers()))


def _inner(module: nn.Module) -> nn.Module:
    while _is_wrapper(module):
        module = getattr(module, WRAPPERS[type(module).__name__])
    return module


def _is_wrapper(module: nn.Module) -> bool:
    kind = type(module)
    return kind.__name__ in WRAPPERS and kind.__module__.startswith("torch.")


def _is_wrapped(module: nn.Module) -> bool:
    return _is_wrapper(module) or module._compiled_call_impl is not None


def _problem(module: nn.Module) -> tuple[str, str] | None:
    """What is wrong with the kind of a module, and what to hand over instead."""
    import torch

    source = "hand over the module that it was made of"
    if isinstance(module, torch.jit.ScriptModule):
        return "is TorchScript, which can be run but neither trained nor cut", source
    if isinstance(module, torch.fx.GraphModule) and _is_exported(module):
        return "is an exported program, which can be run but neither trained nor cut", source
    if type(module).__module__.startswith(QUANTISING) or hasattr(module, "activation_post_process"):
        return (
            "is prepared for quantisation or quantised",
            "hand over the float model; --precision int8 quantises its students",
        )
    return None


def _is_exported(module: Any) -> bool:  # noqa: ANN401
    import torch

    kinds = (torch._ops.OpOverload, torch._ops.HigherOrderOperator)
    return any(isinstance(node.target, kinds) for node in module.graph.nodes)


def _require_values(model: nn.Module) -> None:
    from torch.nn.parameter import is_lazy

    named = [*model.named_parameters(), *model.named_buffers()]
    lazy = [name for name, tensor in named if is_lazy(tensor)]
    if lazy:
        raise ModelError(
            f"lazy layers have no weights yet: {first_few(lazy)}",
            where=type(model).__name__,
            hint="run one batch through it, then train it and load its weights",
        )
    empty = [name for name, tensor in named if tensor.is_meta]
    if empty:
        raise ModelError(
            f"weights on the device 'meta' have no values: {first_few(empty)}",
            where=type(model).__name__,
            hint="make it on the CPU (model.to_empty) and load its weights",
        )
