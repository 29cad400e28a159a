"""The user's own data: what `path/to/file.py:factory` may return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from edgespiral.core.batches import BatchSource, DataSplits
from edgespiral.core.errors import DataError
from edgespiral.core.factory import call_factory
from edgespiral.core.user_code import user_code
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.guard import ONE_INPUT, guarded, several

PARTS = ("train", "validation", "test")
# Dimensions of float inputs with the batch: from rows of numbers to video.
RANKS = (2, 3, 4, 5)
# The class of pixels that count for nothing, by the custom of segmentation data.
IGNORED = 255


def load_user(spec: str) -> DataSplits:
    """Call the factory; it returns `DataSplits`, or a mapping.

    The mapping has `train`, `validation` and `test`, each a torch `Dataset` of
    `(input (C, H, W) float32, label)` or a `BatchSource`, and `classes`, the class names, unless
    the training data set has an attribute of that name. Inputs may be rows (features,) and videos
    (C, D, H, W) too; those of sequences are (T, features) float32, or (T,) int64 token ids; these
    need `token_count`, one more than the largest id.

    Labels are classes, or masks (H, W) of them, in which 255 counts for nothing (`ignored_class`).
    Targets of a task of one's own are announced by `target_shape` None, and may do without classes.

    Raises:
        DataError: it returns anything else.
        UsageError: no such file or factory, or it fails.
    """
    return splits_of(call_factory(spec), spec)


def splits_of(found: object, spec: str) -> DataSplits:
    """The splits that a factory returned, or that a mapping makes; `spec` names them.

    Raises:
        DataError: it is neither.
    """
    with user_code(DataError, "cannot be used", where=spec):
        splits = found if isinstance(found, DataSplits) else _made(found, spec)
        made = replace(
            splits, class_names=tuple(splits.class_names), input_shape=tuple(splits.input_shape)
        )
        return guarded(made)


def _made(found: object, spec: str) -> DataSplits:
    if not isinstance(found, Mapping):
        raise DataError(
            f"no splits, but a {type(found).__name__}",
            where=spec,
            hint="give DataSplits, or a mapping with train, validation, test and classes",
        )
    missing = [part for part in PARTS if part not in found]
    if missing:
        raise DataError(f"the mapping lacks {', '.join(missing)}", where=spec)
    sources = {part: _source(found[part], f"{spec}: {part}") for part in PARTS}
    first, target = _first_sample(sources["train"], spec)
    shape = found.get("target_shape", _mask_shape(target))
    return DataSplits(
        name=spec,
        class_names=() if shape is None and "classes" not in found else _class_names(found, spec),
        input_shape=tuple(first.shape[1:]),
        token_count=_token_count(found.get("token_count"), first, spec),
        target_shape=None if shape is None else tuple(shape),
        ignored_class=found.get("ignored_class", IGNORED if shape else None),
        train=sources["train"],
        validation=sources["validation"],
        test=sources["test"],
    )


def _source(part: object, where: str) -> BatchSource:
    if isinstance(part, IterableDataset):
        raise DataError(
            "an iterable data set, whose samples have no number to be asked for by",
            where=where,
            hint="give a torch Dataset with a length and an index",
        )
    if isinstance(part, Dataset):
        return DatasetSource(part, where=where)
    if hasattr(part, "epoch") and hasattr(part, "__len__"):
        return cast("BatchSource", part)
    raise DataError(f"a {type(part).__name__} is not a torch Dataset", where=where)


def _class_names(found: Mapping[str, Any], spec: str) -> tuple[str, ...]:
    classes = found.get("classes", getattr(found["train"], "classes", None))
    if classes is None:
        raise DataError(
            "the class names are unknown", where=spec, hint="add classes=[...] to the mapping"
        )
    return tuple(str(name) for name in classes)


def _first_sample(source: BatchSource, spec: str) -> tuple[Tensor, object]:
    try:
        inputs, target = next(iter(source.epoch(batch_size=1)))
    except StopIteration:
        raise DataError("the training part is empty", where=spec) from None
    problem = several(inputs)
    if problem:
        raise DataError(problem, where=spec, hint=ONE_INPUT)
    if inputs.is_floating_point() and inputs.ndim not in RANKS:
        raise DataError(
            f"inputs are {tuple(inputs.shape[1:])}, not (features,), (steps, features), "
            "(channels, height, width) or (channels, depth, height, width)",
            where=spec,
        )
    return inputs, target


def _mask_shape(target: object) -> tuple[int, ...]:
    """(H, W) where the first batch has a mask of classes, else () for one class a sample."""
    is_mask = isinstance(target, Tensor) and target.ndim == 3 and not target.is_floating_point()
    return tuple(target.shape[1:]) if isinstance(target, Tensor) and is_mask else ()


def _token_count(given: object, first: Tensor, spec: str) -> int | None:
    if given is not None and (type(given) is not int or given < 1):
        raise DataError(f"token_count is {given!r}, not a whole number from 1", where=spec)
    if given is None and not first.is_floating_point():
        raise DataError(
            f"inputs are {first.dtype}, and their range is unknown",
            where=spec,
            hint="for token ids add token_count=... to the mapping, else return float32",
        )
    return given
