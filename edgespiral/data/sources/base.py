"""What a data source is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import UsageError
from edgespiral.core.stages.frames import Frames, Standardised
from edgespiral.data.holdout import hold_out
from edgespiral.data.tensors import Normalisation, TensorSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from edgespiral.data.tensors import Augmentation


class Source(Protocol):
    """Makes the splits that `NAME` or `NAME:ARGUMENT` stands for.

    A plug-in of the group `edgespiral.data` is a callable of this kind; its name is what stands
    before the colon. Splits never depend on a run's seed.
    """

    def __call__(self, argument: str) -> DataSplits:
        """The three splits.

        Args:
            argument: what follows the colon; empty where there is none.

        Raises:
            UsageError: the argument is wrong.
            DataError: found nowhere, damaged, or not of the form described.
        """


@dataclass(frozen=True)
class FileSource:
    """A source of users' own files, which `edgespiral init` knows by what they are.

    Attributes:
        load: makes the splits, as a `Source` does.
        task: the name of what such files are for, where they say; else tasks are tried on them.
        order: of those that a folder or a table may be, the source of the smallest comes first.
        fits: whether a folder holds such files; None: it is not asked of folders.
        columns: what a table has, a column of each of these groups of names in small letters;
            empty: it is not asked of tables.
    """

    load: Callable[[str], DataSplits]
    task: str | None = None
    order: int = 0
    fits: Callable[[Path], bool] | None = None
    columns: tuple[Sequence[str], ...] = ()

    def __call__(self, argument: str) -> DataSplits:
        """The three splits, as `Source`."""
        return self.load(argument)


def without_argument(load: Callable[[], DataSplits]) -> Source:
    """The source of a data set that there is one of."""

    def source(argument: str) -> DataSplits:
        if argument:
            raise UsageError("this data set takes nothing after its name", where="--data")
        return load()

    return source


def labelled_images(
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    class_names: Sequence[str],
    validation_count: int,
    augmentation: Augmentation,
) -> DataSplits:
    """The splits of a data set in memory, a stratified part of whose training images validates.

    Args:
        name: of the data set.
        train, test: images (N, channels, height, width), bytes, and labels (N,), int64.
        class_names: one a label.
        validation_count: images that are held out of `train`.
        augmentation: of training images.
    """
    images, labels = train
    rest, held_out = hold_out(labels.numpy(), validation_count, where=name)
    normalisation = Normalisation.of(images[rest])
    return DataSplits(
        name=name,
        train=TensorSource(images[rest], labels[rest], normalisation, augmentation),
        validation=TensorSource(images[held_out], labels[held_out], normalisation),
        test=TensorSource(*test, normalisation),
        class_names=tuple(class_names),
        input_shape=tuple(images.shape[1:]),
        frames=Frames(
            "array", Standardised(*normalisation.figures), stored=images[held_out[0]].numpy()
        ),
    )
