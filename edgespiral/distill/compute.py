"""Where and in which precision a model runs: rules on what the machine can do, never timings."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from edgespiral.distill.settings import Precision


def best_device() -> torch.device:
    """The CUDA device if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolved_precision(wanted: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """`auto` becomes bf16 where the device multiplies bf16 natively, else fp32."""
    if wanted != "auto":
        return wanted
    return "bf16" if _has_native_bf16(device) else "fp32"


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(
    precision: Literal["fp32", "bf16"], device: torch.device
) -> AbstractContextManager[object]:
    """The context that a forward pass runs in."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@contextmanager
def placed(models: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """Inside, the models are on `device` in channels_last order; afterwards as they were."""
    moved = list(models)
    homes = [_device_of(model) for model in moved]
    for model in moved:
        _move(model, device, torch.channels_last)
    try:
        yield
    finally:
        for model, home in zip(moved, homes, strict=True):
            _move(model, home, torch.contiguous_format)


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _move(model: nn.Module, device: torch.device, order: torch.memory_format) -> None:
    model.to(device=device, memory_format=order)  # type: ignore[call-overload]


def to_device(inputs: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """A batch on the device, images in channels_last order."""
    order = torch.channels_last if inputs.dim() == 4 else torch.preserve_format
    moved = inputs.to(device, memory_format=order, non_blocking=True)
    return moved, labels.to(device, non_blocking=True)
