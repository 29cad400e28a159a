"""`len(x)` of a tensor as its size: Python wants a whole number of it, and a trace a symbol."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from edgespiral.models.tracing.proxies import is_followed

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def followed_lengths(model: nn.Module) -> Iterator[None]:
    """Meanwhile `len` is followed in the files of the classes of `model`.

    Where one has a `len` of its own it stays.
    """
    spaces = [names for names in _namespaces(model) if "len" not in names]
    for names in spaces:
        names["len"] = _length
    try:
        yield
    finally:
        for names in spaces:
            del names["len"]


def _namespaces(model: nn.Module) -> list[dict[str, Any]]:
    """Global names of the files of the model's own classes; torch's take lengths of no tensors."""
    kinds = {kind for module in model.modules() for kind in type(module).__mro__}
    own = [kind for kind in kinds if kind.__module__.partition(".")[0] not in ("torch", "builtins")]
    functions = [f for kind in own for f in vars(kind).values() if inspect.isfunction(f)]
    return list({id(f.__globals__): f.__globals__ for f in functions}.values())


def _length(sized: Any) -> Any:  # noqa: ANN401
    if is_followed(sized) and isinstance(sized._values[0], Tensor) and sized._values[0].dim():
        return sized.size(0)
    return len(sized)
