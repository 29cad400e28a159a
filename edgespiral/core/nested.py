"""Tensors by themselves, in tuples and in dicts: what models take and give, and what targets are.

Forms are few: one tensor, a tuple or a dict of forms. `plain` brings what people hand over to
them. None stands for targets of data that has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

# A tensor (N, ...), or a tuple or a dict of such forms, whose leaves all have N samples.
Tensors: TypeAlias = Any
# The same with None for each tensor and a list for each tuple, as JSON can hold it.
Template: TypeAlias = Any


def plain(value: object, is_leaf: Callable[[object], bool] = lambda _: False) -> Tensors:
    """`value` in plain tuples and dicts: lists, dataclasses and other mappings become these.

    What is None inside, as the entries of an output that a model was not asked for, is left out.

    Args:
        value: any nesting.
        is_leaf: what is to be left as it is.

    Example:
        >>> plain({"a": [1, None, 2]})
        {'a': (1, 2)}
    """
    if is_leaf(value):
        return value
    if isinstance(value, Mapping):
        named = {str(key): entry for key, entry in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
    elif isinstance(value, (tuple, list)):
        return tuple(plain(entry, is_leaf) for entry in value if entry is not None)
    else:
        return value
    return {key: plain(entry, is_leaf) for key, entry in named.items() if entry is not None}


def leaves(value: Tensors, name: str = "") -> dict[str, Any]:
    """What is at the ends of a form, by name: places of tuples, keys of dicts, with dots between.

    One tensor by itself has the name "".

    Example:
        >>> leaves({"boxes": 1, "maps": (2, 3)})
        {'boxes': 1, 'maps.0': 2, 'maps.1': 3}
    """
    if value is None:
        return {}
    if not isinstance(value, (dict, tuple)):
        return {name: value}
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    ends: dict[str, Any] = {}
    for key, entry in entries:
        ends |= leaves(entry, f"{name}.{key}" if name else str(key))
    return ends


def mapped(change: Callable[..., Any], value: Tensors, *others: Tensors) -> Tensors:
    """`change` of each leaf of `value` with those of `others`, which have the same form.

    Example:
        >>> mapped(lambda a, b: a + b, {"x": 1}, {"x": 2})
        {'x': 3}
    """
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: mapped(change, value[key], *(o[key] for o in others)) for key in value}
    if isinstance(value, tuple):
        return tuple(mapped(change, *entries) for entries in zip(value, *others, strict=True))
    return change(value, *others)


def template(value: Tensors) -> Template:
    """The form without what is in it.

    Example:
        >>> template({"x": 1, "y": (2, 3)})
        {'x': None, 'y': [None, None]}
    """
    if isinstance(value, dict):
        return {key: template(entry) for key, entry in value.items()}
    return [template(entry) for entry in value] if isinstance(value, tuple) else None


def filled(form: Template, values: Iterator[Any]) -> Tensors:
    """The opposite of `template`: each None becomes the next of `values`.

    Example:
        >>> filled({"x": None, "y": [None, None]}, iter([1, 2, 3]))
        {'x': 1, 'y': (2, 3)}
    """
    if isinstance(form, dict):
        return {key: filled(entry, values) for key, entry in form.items()}
    return (
        tuple(filled(entry, values) for entry in form) if isinstance(form, list) else next(values)
    )


def count(value: Tensors) -> int:
    """How many samples there are."""
    return len(next(iter(leaves(value).values())))


def rows(value: Tensors, index: Any) -> Tensors:  # noqa: ANN401 (whatever a tensor is indexed by)
    """Those samples of each tensor: a slice, or places (n,)."""
    return mapped(lambda tensor: tensor[index], value)


def joined(parts: Sequence[Tensors]) -> Tensors:
    """The samples of all `parts`, one after another."""
    import torch

    return mapped(lambda *tensors: torch.cat(tensors), *parts)


def apart(value: Tensors, size: int = 1) -> list[Tensors]:
    """Batches of `size` samples, of which the last may have fewer."""
    return [rows(value, slice(at, at + size)) for at in range(0, count(value), size)]


def as_float(value: Tensors) -> Tensors:
    """Real tensors in single precision; whole numbers stay."""
    return mapped(lambda leaf: leaf.float() if leaf.is_floating_point() else leaf, value)


def shapes(value: Tensors) -> str:
    """The sizes of each tensor without the batch, in words: `image (3, 8, 8), age (1,)`."""
    ends = leaves(value)
    words = [f"{name} {_shape(leaf)}".lstrip() for name, leaf in ends.items()]
    return ", ".join(words)


def _shape(leaf: Tensor) -> str:
    shape = getattr(leaf, "shape", None)
    return f"a {type(leaf).__name__}" if shape is None else str(tuple(shape[1:]))
