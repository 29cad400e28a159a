"""A cut as what is left: how many channels each group of coupled layers has, and what it took."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping

from pydantic import Field

from edgespiral.core.records.schema import Record


class Widths(Mapping[str, int]):
    """How many channels each group has left, by its name; 0 where it is gone with its branch.

    Frozen, so that a cut is a key of what is known of it. The order of groups counts for nothing.

    Args:
        channels: by the groups' names.

    Example:
        >>> half = Widths({"stem": 16, "head": 32}) | {"head": 16}
        >>> half["head"], half == Widths({"head": 16, "stem": 16}), half in {half: 1.5}
        (16, True, True)
    """

    __slots__ = ("_channels", "_hash")

    def __init__(self, channels: Mapping[str, int]) -> None:
        self._channels = dict(channels)
        self._hash: int | None = None

    def __getitem__(self, group: str) -> int:
        """The channels of a group."""
        return self._channels[group]

    def __iter__(self) -> Iterator[str]:
        """The names of the groups."""
        return iter(self._channels)

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self._channels)

    def items(self) -> ItemsView[str, int]:
        """Names and channels; the dictionary's own view, as allocations go through very many."""
        return self._channels.items()

    def __or__(self, changes: Mapping[str, int]) -> Widths:
        """These widths with `changes`."""
        return Widths({**self._channels, **changes})

    def __eq__(self, other: object) -> bool:
        """Whether every group has as many channels there."""
        if isinstance(other, Widths):
            return self._channels == other._channels
        return isinstance(other, Mapping) and self._channels == dict(other)

    def __hash__(self) -> int:
        """Of the groups with their channels, in any order."""
        if self._hash is None:
            self._hash = hash(frozenset(self._channels.items()))
        return self._hash

    def __repr__(self) -> str:
        """As it would be made."""
        return f"Widths({self._channels!r})"


class GroupCut(Record):
    """What a turn takes from one group of coupled channels, or that it drops a whole branch.

    `lost_share` is this cut's part of the importance that the turn loses. `saved_ms` is what the
    fitted latency model says the turn's widths would take longer with this cut alone taken back,
    by target.
    """

    name: str
    before: int = Field(ge=1)
    after: int = Field(ge=0)
    lost_share: float = Field(ge=0, le=1)
    saved_ms: dict[str, float]
