"""What tasks say of data, outputs and options that they do not take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgespiral.core.batches import NamedSource
from edgespiral.core.errors import DataError, first_few, unknown_name
from edgespiral.core.nested import leaves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.batches import BatchSource, DataSplits


def sample_place(source: BatchSource, position: int) -> str:
    """What messages call the sample at `position` of a pass in stored order, such as its file."""
    if isinstance(source, NamedSource):
        return source.place(position, None)
    return f"sample {position}"


def described(outputs: object) -> str:
    """What came instead of a tensor, in words."""
    kind = type(outputs).__name__
    if isinstance(outputs, Mapping):
        return f"a {kind} of {first_few([str(name) for name in outputs])}"
    if isinstance(outputs, (tuple, list)):
        return f"a {kind} of {len(outputs)}"
    return f"a {kind}"


def require_target_shape(splits: DataSplits, dimensions: int, what: str, hint: str) -> None:
    """Refuse targets of another number of dimensions a sample than `dimensions`.

    Raises:
        DataError: `what` is wanted.
    """
    shape = splits.target_shape
    if splits.is_labelled and (shape is None or len(shape) != dimensions):
        what_they_are = target_words(splits) if shape is None else shape or "one class a sample"
        raise DataError(f"targets are {what_they_are}, not {what}", where=splits.name, hint=hint)


def target_words(splits: DataSplits) -> str:
    """What the targets of a sample are, in words."""
    _, targets = next(iter(splits.train.epoch(batch_size=1)))
    return ", ".join(
        f"{name} {str(leaf.dtype).removeprefix('torch.')} {tuple(leaf.shape[1:])}".lstrip()
        for name, leaf in leaves(targets).items()
    )


def labelled_parts(splits: DataSplits) -> tuple[tuple[str, BatchSource], ...]:
    """The splits that have samples with targets, by name."""
    if not splits.is_labelled:
        return ()
    parts = ("train", splits.train), ("validation", splits.validation), ("test", splits.test)
    return tuple((name, source) for name, source in parts if len(source))


def only_option(options: Mapping[str, str], name: str, choices: Sequence[str], default: str) -> str:
    """The value of the one option that a task takes.

    Raises:
        UsageError: another option, or a value that is none of `choices`.
    """
    for option in options:
        if option != name:
            raise unknown_name("option of the task", option, [name])
    value = options.get(name, default)
    if value not in choices:
        raise unknown_name(name, value, list(choices))
    return value
