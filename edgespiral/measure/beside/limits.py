"""How much a model may take on targets: as much on all of them, or on some by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

# None for no limit.
Limit: TypeAlias = "float | Mapping[str, float] | None"


def limit_on(target: str, limit: Limit) -> float | None:
    """What `target` may take; None where it has no limit.

    Example:
        >>> limit_on("a", 8.0), limit_on("a", {"b": 8.0})
        (8.0, None)
    """
    return limit.get(target) if isinstance(limit, Mapping) else limit


def limited(targets: Sequence[str], limit: Limit) -> dict[str, float]:
    """The targets that have a limit, with it."""
    each = {target: limit_on(target, limit) for target in targets}
    return {target: own for target, own in each.items() if own is not None}


def alike(limits: Mapping[str, float], count: int) -> Limit:
    """Limits by target as one for all, where all of `count` targets have the same.

    Example:
        >>> alike({"a": 8.0, "b": 8.0}, 2), alike({"a": 8.0}, 2), alike({}, 2)
        (8.0, {'a': 8.0}, None)
    """
    values = set(limits.values())
    if len(limits) == count and len(values) == 1:
        return values.pop()
    return dict(limits) or None
