"""What a data source is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgespiral.core.batches import DataSplits


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


def without_argument(load: Callable[[], DataSplits]) -> Source:
    """The source of a data set that there is one of."""

    def source(argument: str) -> DataSplits:
        if argument:
            raise UsageError("this data set takes nothing after its name", where="--data")
        return load()

    return source
