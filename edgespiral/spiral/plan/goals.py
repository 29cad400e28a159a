"""What a plan's budgets may be together, and a point that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edgespiral.measure.beside.limits import Limit

    # By its kind: a number for all targets, or one for each by its name.
    Latencies = Mapping[str, float | dict[str, float] | None]

# A run has at most one of these for each target; those of the file that ships come beside them.
BUDGETS = ("latency_ms", "speedup")
FOOTPRINTS = ("size_mib", "parameters")
KINDS = (*BUDGETS, *FOOTPRINTS)
BUDGET_RULE = "exactly one of latency_ms and speedup is needed"
BESIDE_RULE = (
    "goes beside another budget, which widths are planned by: latency_ms, speedup, "
    "size_mib or parameters"
)
NO_GOAL = "a goal is needed: latency_ms, speedup, size_mib or parameters, or max_drop alone"
RULES = (BUDGET_RULE, BESIDE_RULE, NO_GOAL)


def latency_of(target: str, budgets: Latencies) -> dict[str, float]:
    """The latency that `target` is to reach, by its kind: its own, or else that for all.

    Example:
        >>> latency_of("a", {"speedup": 2.0, "latency_ms": {"a": 8.0}})
        {'latency_ms': 8.0}
    """
    own = {k: v[target] for k, v in budgets.items() if isinstance(v, dict) and target in v}
    return own or {k: v for k, v in budgets.items() if isinstance(v, float)}


def check_names(targets: Sequence[str], budgets: Iterable[Limit]) -> None:
    """Refuse a budget of what is no target.

    Raises:
        ValueError: so it is.
    """
    for budget in budgets:
        strangers = sorted(set(budget) - set(targets)) if isinstance(budget, Mapping) else ()
        for name in strangers:
            names = ", ".join(targets)
            raise ValueError(f"a budget is given for {name}, the plan's targets are: {names}")


def check_latencies(targets: Sequence[str], budgets: Latencies, *, has_other_goal: bool) -> None:
    """Refuse latencies of which a target has none or several, or that are of no target.

    Args:
        has_other_goal: there need be none for any.

    Raises:
        ValueError: so it is, or there is no goal at all.
    """
    if not any(budgets.values()):
        if has_other_goal:
            return
        raise ValueError(NO_GOAL)
    for target in targets:
        if len(latency_of(target, budgets)) != 1:
            raise ValueError(f"{BUDGET_RULE}{f' for {target}' if len(targets) > 1 else ''}")
    check_names(targets, budgets.values())


def check_point(explored: Path | None, point: int | None, turns: int | str) -> None:
    """Refuse half of a point to start from, or more turns than the one that it is.

    Raises:
        ValueError: so it is.
    """
    if (explored is None) != (point is None):
        raise ValueError("explored and point go together")
    if explored is not None and turns not in ("auto", 1):
        raise ValueError(f"a run from an explored point has one turn, not {turns}")
