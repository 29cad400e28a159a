"""The user's own data: what `path/to/file.py:factory` may return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset

from edgespiral.core.batches import BatchSource, DataSplits, InputSpec
from edgespiral.core.errors import DataError
from edgespiral.core.factory import call_factory
from edgespiral.core.nested import leaves, plain
from edgespiral.core.user_code import user_code
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.core.nested import Tensors

PARTS = ("train", "validation", "test")
# Dimensions of float inputs with the batch: from rows of numbers to video.
RANKS = (2, 3, 4, 5)
# What an input may be, among several.
DTYPES = (torch.float32, torch.int64, torch.int32, torch.bool)
ID_DTYPES = ("int64", "int32")
# The class of pixels that count for nothing, by the custom of segmentation data.
IGNORED = 255


def load_user(spec: str) -> DataSplits:
    """Call the factory; it returns `DataSplits`, or a mapping.

    The mapping has `train`, `validation` and `test`, each a torch `Dataset` of
    `(input (C, H, W) float32, label)` or a `BatchSource`, and `classes`, the class names, unless
    the training data set has an attribute of that name. Inputs may be rows (features,) and videos
    (C, D, H, W) too; those of sequences are (T, features) float32, or (T,) int64 token ids; these
    need `token_count`, one more than the largest id.

    An input may be a tuple of tensors, for a model that takes them in order, or a dict, for one
    that takes them by name; `token_count` is then a mapping from place or name, of those that are
    ids. Other whole numbers among them, such as lengths and masks, need none.

    Labels are classes, or masks (H, W) of them, in which 255 counts for nothing (`ignored_class`).
    All others, which `target_shape` None announces too, are for the task to look at, and do without
    classes. With `labelled` False samples are inputs alone.

    Raises:
        DataError: it returns anything else.
        UsageError: no such file or factory, or it fails.
    """
    return splits_of(call_factory(spec), spec)


def splits_of(content: object, spec: str) -> DataSplits:
    """The splits that a factory returned, or that a mapping makes; `spec` names them.

    Raises:
        DataError: it is neither.
    """
    with user_code(DataError, "cannot be used", where=spec):
        splits = content if isinstance(content, DataSplits) else _splits_from(content, spec)
        accepted = replace(
            splits, class_names=tuple(splits.class_names), input_shape=tuple(splits.input_shape)
        )
        return guarded(accepted)


def _splits_from(content: object, spec: str) -> DataSplits:
    if not isinstance(content, Mapping):
        raise DataError(
            f"no splits, but a {type(content).__name__}",
            where=spec,
            hint="give DataSplits, or a mapping with train, validation, test and classes",
        )
    missing = [part for part in PARTS if part not in content]
    if missing:
        raise DataError(f"the mapping lacks {', '.join(missing)}", where=spec)
    is_labelled = bool(content.get("labelled", True))
    train, validation, test = (
        _source(content[part], f"{spec}: {part}", is_labelled=is_labelled) for part in PARTS
    )
    if is_labelled:
        _require_same_numbers(content, spec)
    first, target = _first_sample(train, spec)
    shape = content.get("target_shape", _class_shape(target) if is_labelled else None)
    tokens = content.get("token_count")
    is_one = isinstance(first, Tensor)
    return DataSplits(
        name=spec,
        class_names=()
        if shape is None and "classes" not in content
        else _class_names(content, spec),
        input_shape=tuple(first.shape[1:]) if is_one else (),
        token_count=_token_count(tokens, first, spec) if is_one else None,
        inputs=None if is_one else _specs(first, tokens, spec),
        is_labelled=is_labelled,
        target_shape=None if shape is None else tuple(shape),
        ignored_class=content.get("ignored_class", IGNORED if shape else None),
        train=train,
        validation=validation,
        test=test,
    )


def _source(part: object, where: str, *, is_labelled: bool) -> BatchSource:
    if isinstance(part, IterableDataset):
        raise DataError(
            "an iterable data set, whose samples have no number to be asked for by",
            where=where,
            hint="give a torch Dataset with a length and an index",
        )
    if isinstance(part, Dataset):
        return DatasetSource(part, where=where, is_labelled=is_labelled)
    if hasattr(part, "epoch") and hasattr(part, "__len__"):
        return cast("BatchSource", part)
    raise DataError(f"a {type(part).__name__} is not a torch Dataset", where=where)


def _class_names(content: Mapping[str, Any], spec: str) -> tuple[str, ...]:
    classes = content.get("classes", getattr(content["train"], "classes", None))
    if classes is None:
        raise DataError(
            "the class names are unknown", where=spec, hint="add classes=[...] to the mapping"
        )
    return tuple(str(name) for name in classes)


def _require_same_numbers(content: Mapping[str, Any], spec: str) -> None:
    """Refuse parts whose data sets number their classes in different ways.

    A folder's data set numbers the classes that it has: where one is missing, others move up.

    Raises:
        DataError: a label would mean one class in one part and another in another.
    """
    first: dict[str, tuple[str, Mapping[object, object]]] = {}
    for part in PARTS:
        for kind, numbers in _class_numbers(content[part]):
            other, expected = first.setdefault(kind, (part, numbers))
            if numbers == expected:
                continue
            names = [*numbers, *expected]
            odd = next(name for name in names if numbers.get(name) != expected.get(name))
            here, there = (
                f"number {each[odd]}" if odd in each else "none" for each in (numbers, expected)
            )
            raise DataError(
                f"class {str(odd)!r} is {here} here and {there} in {other}",
                where=f"{spec}: {part}",
                hint="number the classes of all parts alike, those that one lacks, too",
            )


def _class_numbers(part: object) -> Iterator[tuple[str, Mapping[object, object]]]:
    """The number of each class, as torchvision's data sets say it, and what they are said by."""
    # Of other wrappers nobody knows whether they number the labels anew.
    if isinstance(part, Subset | DatasetSource):
        yield from _class_numbers(part.dataset)
    elif isinstance(part, ConcatDataset):
        for each in part.datasets:
            yield from _class_numbers(each)
    if getattr(part, "target_transform", None) is not None:
        return
    classes, numbers = (getattr(part, name, None) for name in ("classes", "class_to_idx"))
    if isinstance(classes, list | tuple):
        yield "classes", {str(name): number for number, name in enumerate(classes)}
    if isinstance(numbers, Mapping):
        yield "class_to_idx", numbers


def _first_sample(source: BatchSource, spec: str) -> tuple[Tensors, object]:
    try:
        inputs, target = next(iter(source.epoch(batch_size=1)))
    except StopIteration:
        raise DataError("the training part is empty", where=spec) from None
    inputs = plain(inputs)
    if not isinstance(inputs, Tensor):
        return _require_tensors(inputs, spec), target
    if inputs.is_floating_point() and inputs.ndim not in RANKS:
        raise DataError(
            f"inputs are {tuple(inputs.shape[1:])}, not (features,), (steps, features), "
            "(channels, height, width) or (channels, depth, height, width)",
            where=spec,
        )
    return inputs, target


def _require_tensors(inputs: Tensors, spec: str) -> Tensors:
    """`inputs`, if they are a tuple or a dict of tensors, and nothing deeper."""
    entries = inputs.values() if isinstance(inputs, dict) else inputs
    odd = None if isinstance(inputs, (dict, tuple)) else inputs
    if odd is None:
        odd = next((entry for entry in entries if not isinstance(entry, Tensor)), None)
    if odd is None and len(inputs):
        return inputs
    what = (
        f"has a {type(odd).__name__} in it" if odd is not inputs else f"is a {type(odd).__name__}"
    )
    raise DataError(
        f"the input of a sample {what}",
        where=spec,
        hint="return a tensor, or a tuple or a dict of tensors",
    )


def _specs(
    first: Tensors, tokens: object, spec: str
) -> tuple[InputSpec, ...] | dict[str, InputSpec]:
    """What each of several inputs is, by the first sample and the ids that are announced."""
    counts = tokens if isinstance(tokens, Mapping) else {}
    ends = leaves(first)
    counts_by_name = {str(name): number for name, number in counts.items()}
    if (
        tokens is not None and not isinstance(tokens, Mapping)
    ) or not counts_by_name.keys() <= ends.keys():
        raise DataError(
            f"token_count is {tokens!r}, and the inputs are {', '.join(ends)}",
            where=spec,
            hint="of several inputs it is a mapping, as {'words': 10000}",
        )
    specs = {
        name: _spec(tensor, counts_by_name.get(name), name, spec) for name, tensor in ends.items()
    }
    return specs if isinstance(first, dict) else tuple(specs.values())


def _spec(tensor: Tensor, tokens: object, name: str, spec: str) -> InputSpec:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.dtype not in DTYPES:
        raise DataError(f"input {name!r} is {dtype}", where=spec, hint="give float32 or int64")
    if tokens is not None and (type(tokens) is not int or tokens < 1 or dtype not in ID_DTYPES):
        what = f"token_count of {name!r}, which is {dtype}, is {tokens!r}"
        raise DataError(what, where=spec, hint="it is a whole number from 1, of int64 ids")
    return InputSpec(tuple(tensor.shape[1:]), tokens, dtype)


def _class_shape(target: object) -> tuple[int, ...] | None:
    """() where the first batch has a class a sample, (H, W) where a mask; None where neither."""
    if not isinstance(target, Tensor) or target.is_floating_point() or target.ndim not in (1, 3):
        return None
    return tuple(target.shape[1:])


def _token_count(count: object, first: Tensor, spec: str) -> int | None:
    if count is not None and (type(count) is not int or count < 1):
        raise DataError(f"token_count is {count!r}, not a whole number from 1", where=spec)
    if count is None and not first.is_floating_point():
        raise DataError(
            f"inputs are {first.dtype}, and their range is unknown",
            where=spec,
            hint="for token ids add token_count=... to the mapping, else return float32",
        )
    return count
