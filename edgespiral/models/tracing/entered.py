"""Calls into compiled code, as the operations that they consist of.

PyTorch's own code behind a `torch.autograd.Function` and behind TorchScript takes what passes for a
tensor for one, and the process dies. So while a forward is traced, the Python that these were made
of is followed like other code, and so are checkpoints and functions of `torch.compile`.

What a cut model trains by is then autograd's gradient of those operations. Where that is another
than the function's own (rounding that lets gradients through, a reversed gradient), the trace says
so instead.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.fx.proxy import TraceError
from torch.utils import checkpoint

from edgespiral.core.nested import leaves, plain
from edgespiral.models.tracing.proxies import followed_in, is_followed, mapped, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.models.tracing.proxies import AnsweringTracer

# How far gradients may lie apart, as a share of the largest.
TOLERANCE = 1e-3
APPLY: Any = vars(Function)["apply"].__func__
PLAIN_APPLY = FunctionType(
    APPLY.__code__, APPLY.__globals__, APPLY.__name__, APPLY.__defaults__, APPLY.__closure__
)


class OwnGradientError(TraceError):
    """A function has another gradient than the operations that it consists of."""

    hint = (
        "write it with operations whose gradient is that one, such as x + (f(x) - x).detach() "
        "where it is to be 1"
    )


@contextmanager
def entering(tracer: AnsweringTracer) -> Iterator[None]:
    """Meanwhile such calls on what `tracer` follows are followed, too."""
    changes: list[tuple[Any, str, Any]] = [
        # Its code, as methods bound to it are kept, such as in `swish = Swish.apply`.
        (APPLY, "__code__", _Entrance.apply.__code__),
        (_Entrance, "tracer", tracer),
        (torch._C.ScriptFunction, "__call__", _calling_script()),
        (checkpoint, "_checkpoint_without_reentrant_generator", _keeping_nothing),
    ]
    if "torch._dynamo" in sys.modules:  # else nothing can have been compiled
        changes.append((sys.modules["torch._dynamo"].config, "error_on_nested_fx_trace", False))
    before = [_own(place, name) for place, name, _ in changes]
    for place, name, new in changes:
        setattr(place, name, new)
    try:
        yield
    finally:
        for (place, name, _), old in zip(changes, before, strict=True):
            setattr(place, name, old)


def _own(place: Any, name: str) -> Any:  # noqa: ANN401
    """An attribute as it lies there, such as a method that is bound to nothing."""
    return vars(place)[name] if isinstance(place, type) else getattr(place, name)


class _Entrance:
    """What is run in place of `Function.apply`."""

    tracer: AnsweringTracer | None = None

    def apply(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, N805
        # Code takes another's place only with as many cells; it is run among torch's names.
        _ = __class__  # type: ignore[name-defined]
        from edgespiral.models.tracing.entered import applied

        return applied(cls, *args, **kwargs)


def applied(cls: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """What `cls.apply(*args, **kwargs)` is, followed where its arguments are.

    Raises:
        OwnGradientError: its gradient would be another.
    """
    tracer = _Entrance.tracer
    if tracer is None or not followed_in((args, kwargs)):
        return PLAIN_APPLY(cls, *args, **kwargs)
    if cls is checkpoint.CheckpointFunction:
        run, _preserves, *arguments = args
        return run(*arguments)
    inputs = mapped((args, kwargs), partial(value_of, number=0))
    with tracer.computing():
        alike = _has_same_gradient(cls, *inputs)
    if not alike:
        raise OwnGradientError(f"it calls {cls.__name__}, which has a gradient of its own")
    return _forward(cls, args, kwargs)


def _calling_script() -> Any:  # noqa: ANN401
    own = vars(torch._C.ScriptFunction)["__call__"]

    def call(script: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if not followed_in((args, kwargs)):
            return own.__get__(script)(*args, **kwargs)
        source = getattr(script, "_torchdynamo_inline", None)
        if source is None:
            raise TraceError(f"it calls TorchScript, {script.name}, whose Python is not there")
        return source(*args, **kwargs)

    return call


def _keeping_nothing(*_args: Any, **_kwargs: Any) -> Iterator[None]:  # noqa: ANN401
    """In place of what keeps inputs before a checkpoint's function is called, and ends after it."""
    yield


class _Context:
    """What a forward is given to keep things for its backward, which is not called."""

    needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *_tensors: object) -> None:
        """Keep nothing."""

    save_for_forward = mark_dirty = mark_non_differentiable = save_for_backward
    set_materialize_grads = save_for_backward


def _forward(cls: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
    if cls.setup_context is not Function.setup_context:
        return cls.forward(*args, **kwargs)
    context = _Context()
    context.needs_input_grad = tuple(is_followed(a) or isinstance(a, Tensor) for a in args)
    return cls.forward(context, *args, **kwargs)


def _has_same_gradient(cls: Any, args: Any, kwargs: Any) -> bool:  # noqa: ANN401
    """Whether autograd finds the same gradients through the forward as the backward gives."""
    try:
        theirs = _gradients(partial(PLAIN_APPLY, cls), args, kwargs)
    except Exception:  # a backward may be missing or fail in any way, and then nobody trains by it
        return True
    try:
        ours = _gradients(lambda *a, **k: _forward(cls, a, k), args, kwargs)
    except Exception:  # such as of an operation that has none
        return False
    return all(map(_near, ours, theirs))


def _near(ours: Tensor, theirs: Tensor) -> bool:
    allowed = TOLERANCE * max(float(theirs.abs().max()), 1e-12) if theirs.numel() else 0.0
    return torch.allclose(ours, theirs, rtol=0, atol=allowed, equal_nan=True)


def _gradients(function: Any, args: Any, kwargs: Any) -> list[Tensor]:  # noqa: ANN401
    """Of one weighted sum of what `function` gives, with respect to each tensor that it takes."""
    inputs: list[Tensor] = []

    def take(leaf: Any) -> Any:  # noqa: ANN401
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
            return leaf
        inputs.append(leaf.detach().clone().requires_grad_(True))
        return inputs[-1].view_as(inputs[-1])  # which a function may change in place

    with torch.enable_grad():
        args_, kwargs_ = mapped((args, kwargs), take)
        outputs = leaves(plain(function(*args_, **kwargs_))).values()
        total = torch.zeros(())
        for output in outputs:
            if isinstance(output, Tensor) and output.requires_grad:
                weights = torch.linspace(0.5, 1.5, output.numel()).view(output.shape)
                total = total + (output * weights.to(output)).sum()
    if not total.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    gradients = torch.autograd.grad(total, inputs, allow_unused=True)
    pairs = zip(gradients, inputs, strict=True)
    return [torch.zeros_like(x) if g is None else g for g, x in pairs]
