"""Functions that exporters have no form for, as the plain operations that they consist of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def _rms_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    dims = tuple(range(-len(normalized_shape), 0))
    least = torch.finfo(x.dtype).eps if eps is None else eps
    normal = x / ((x * x).mean(dims, keepdim=True) + least).sqrt()
    return normal if weight is None else normal * weight


def _channel_shuffle(x: Tensor, groups: int) -> Tensor:
    samples, channels, *sizes = x.shape
    parted = x.reshape(samples, groups, channels // groups, math.prod(sizes))
    return parted.transpose(1, 2).reshape(samples, channels, *sizes)


def _transposed(x: Tensor) -> Tensor:
    return x.transpose(-2, -1)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *args: Any,  # noqa: ANN401 (torch's own)
    enable_gqa: bool = False,
    **kwargs: Any,  # noqa: ANN401
) -> Tensor:
    """Attention in which several heads of queries read one of keys and values."""
    if enable_gqa:
        key, value = (_repeated(x, query.shape[-3] // x.shape[-3]) for x in (key, value))
    return F.scaled_dot_product_attention(query, key, value, *args, **kwargs)


def _repeated(x: Tensor, times: int) -> Tensor:
    *samples, heads, length, width = x.shape
    each = x.unsqueeze(-3).expand(*samples, heads, times, length, width)
    return each.reshape(*samples, heads * times, length, width)


PLAINER: dict[Any, Callable[..., Tensor]] = {
    F.rms_norm: _rms_norm,
    torch.rms_norm: _rms_norm,
    torch.channel_shuffle: _channel_shuffle,
    F.channel_shuffle: _channel_shuffle,
    F.scaled_dot_product_attention: _attention,
    vars(torch._C.TensorBase)["mT"].__get__: _transposed,
}


class Plainer(TorchFunctionMode):
    """While it lasts, such functions are run as the operations that they consist of."""

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 (torch's own)
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """What `func` gives, by other operations where it is one of those."""
        return PLAINER.get(func, func)(*args, **(kwargs or {}))
