"""The user's own data: what `path/to/file.py:factory` may return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch.utils.data import Dataset

from edgespiral.core.batches import BatchSource, DataSplits
from edgespiral.core.errors import DataError
from edgespiral.core.factory import call_factory
from edgespiral.data.dataset import DatasetSource

PARTS = ("train", "validation", "test")


def load_user(spec: str) -> DataSplits:
    """Call the factory; it returns `DataSplits`, or a mapping.

    The mapping has `train`, `validation` and `test`, each a torch `Dataset` of
    `(input (C, H, W) float32, label)` or a `BatchSource`, and `classes`, the class names, unless
    the training data set has an attribute of that name.

    Raises:
        DataError: it returns anything else.
        UsageError: no such file or factory, or it fails.
    """
    found = call_factory(spec)
    if isinstance(found, DataSplits):
        return found
    if not isinstance(found, Mapping):
        raise DataError(
            f"the factory returned a {type(found).__name__}",
            where=spec,
            hint="return DataSplits, or a mapping with train, validation, test and classes",
        )
    missing = [part for part in PARTS if part not in found]
    if missing:
        raise DataError(f"the factory's mapping lacks {', '.join(missing)}", where=spec)
    sources = {part: _source(found[part], f"{spec}: {part}") for part in PARTS}
    return DataSplits(
        name=spec,
        class_names=_class_names(found, spec),
        input_shape=_input_shape(sources["train"], spec),
        **sources,
    )


def _source(part: object, where: str) -> BatchSource:
    if isinstance(part, Dataset):
        return DatasetSource(part)
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


def _input_shape(source: BatchSource, spec: str) -> tuple[int, int, int]:
    try:
        inputs, _ = next(iter(source.epoch(batch_size=1)))
    except StopIteration:
        raise DataError("the training part is empty", where=spec) from None
    if inputs.ndim != 4:
        raise DataError(
            f"inputs are {tuple(inputs.shape[1:])}, not (channels, height, width)", where=spec
        )
    _, channels, height, width = inputs.shape
    return channels, height, width
