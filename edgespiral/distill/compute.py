"""Where and in which precision a model runs: rules on what the machine can do, never timings."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from edgespiral.core.errors import UsageError
from edgespiral.core.nested import mapped
from edgespiral.models.calling import call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from torch import Tensor

    from edgespiral.core.nested import Tensors
    from edgespiral.distill.settings import Precision, Resolved


AUTO = "auto"
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_CHOSEN: ContextVar[torch.device | None] = ContextVar("device", default=None)


def best_device() -> torch.device:
    """The device that `on_device` chose, else the CUDA device if there is one, else the CPU."""
    return _CHOSEN.get() or torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Inside, models are trained and evaluated on the device `name`, such as `cuda:1`.

    Raises:
        UsageError: this machine has no such device.
    """
    token = _CHOSEN.set(None if name == AUTO else _device(name))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        here = ["cpu", *(f"cuda:{index}" for index in range(count))]
        here += ["mps"] if torch.backends.mps.is_available() else []
        raise UsageError(
            f"no device {name!r} on this machine",
            where="--device",
            hint=f"{AUTO}, or one of: {', '.join(here)}",
        ) from error
    return device


def resolved_precision(wanted: Precision, device: torch.device) -> Resolved:
    """`auto` becomes bf16 where the device multiplies bf16 natively, else fp32."""
    if wanted != "auto":
        return wanted
    return "bf16" if _has_native_bf16(device) else "fp32"


def training_precision(wanted: Precision, device: torch.device) -> Resolved:
    """As `resolved_precision`, but `auto` is fp16 on CUDA devices older than native bf16."""
    resolved = resolved_precision(wanted, device)
    has_only_fp16 = wanted == "auto" and resolved == "fp32" and device.type == "cuda"
    return "fp16" if has_only_fp16 else resolved


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(precision: Resolved, device: torch.device) -> AbstractContextManager[object]:
    """The context that a forward pass runs in."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=HALVES[precision])


@contextmanager
def placed(models: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """Inside, the models are on `device` in channels_last order; afterwards as they were.

    A forward that calls `view`, which takes no tensor in that order, gets what `reshape` gives.
    """
    moved = list(models)
    homes = [_device_of(model) for model in moved]
    for model in moved:
        _move(model, device, _quick_order(model))
    # Watching each call costs 3 % of a ResNet's step.
    calls_view = any(_calls_view(layer) for model in moved for layer in model.modules())
    try:
        with _ViewsAsReshapes() if calls_view else nullcontext():
            yield
    finally:
        for model, home in zip(moved, homes, strict=True):
            _move(model, home, torch.contiguous_format)


class _ViewsAsReshapes(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        takes_sizes = func is torch.Tensor.view and not isinstance(args[-1], torch.dtype)
        return (torch.Tensor.reshape if takes_sizes else func)(*args, **(kwargs or {}))


def _calls_view(layer: nn.Module) -> bool:
    code = getattr(type(layer).forward, "__code__", None)
    return code is not None and "view" in code.co_names


def _quick_order(model: nn.Module) -> torch.memory_format:
    """The order of 4-D weights that convolutions like; there is none for models with 5-D ones."""
    has_volumes = any(weight.dim() == 5 for weight in model.parameters())
    return torch.contiguous_format if has_volumes else torch.channels_last


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _move(model: nn.Module, device: torch.device, order: torch.memory_format) -> None:
    model.to(device=device, memory_format=order)  # type: ignore[call-overload]


def to_device(inputs: Tensors, targets: Tensors, device: torch.device) -> tuple[Tensors, Tensors]:
    """A batch on the device, images in channels_last order."""
    return inputs_to(inputs, device), targets_to(targets, device)


def inputs_to(inputs: Tensors, device: torch.device) -> Tensors:
    """Inputs on the device, images in channels_last order."""

    def moved(leaf: Tensor) -> Tensor:
        order = torch.channels_last if leaf.dim() == 4 else torch.preserve_format
        return leaf.to(device, memory_format=order, non_blocking=True)

    return mapped(moved, inputs)


def targets_to(targets: Tensors, device: torch.device) -> Tensors:
    """Targets, or a teacher's outputs, on the device."""
    return mapped(lambda leaf: leaf.to(device, non_blocking=True), targets)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed what is drawn from on this processor and on the device.

    `torch.manual_seed` notes the whole stack for each kind of device that is not there, which takes
    as long as a small network's step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


@dataclass(frozen=True)
class Boxed:
    """Inputs of any form as one object, for what would take the first entry of a tuple alone."""

    inputs: Tensors


class TakesBoxed(nn.Module):
    """A model that takes a `Boxed`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, boxed: Boxed) -> Tensors:
        return call(self.model, boxed.inputs)


@contextmanager
def numerics(device: torch.device) -> Iterator[None]:
    """Subnormals count as 0; the caller's random state is put back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
