"""A plan read from a file and from flags, and told from others."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgespiral.core.config import config_errors, read_toml
from edgespiral.core.errors import UsageError
from edgespiral.core.option import flag
from edgespiral.spiral.plan.field import COUNTS, said_of
from edgespiral.spiral.plan.fields import Plan
from edgespiral.spiral.plan.goals import BUDGET_RULE, BUDGETS, FOOTPRINTS, NO_GOAL, RULES
from edgespiral.spiral.plan.point import point_values
from edgespiral.spiral.plan.values import Name  # noqa: TC001 (pydantic reads it)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Part of the hash at their defaults too, as they were before a default stood for a missing field.
HASHED_AT_DEFAULT = frozenset(
    (
        *("schema_version", "model", "data", "target", "precision", "recipe", "qat", "latency_ms"),
        *("speedup", "max_drop", "turns", "epochs", "criterion", "pruner", "allocation"),
        *("sparsity", "teacher", "temperature", "alpha", "batch_size", "learning_rate"),
        *("augment", "seed"),
    )
)


class _Complete(Plan):
    """A plan that also says what is compressed, and on which data."""

    model: Name
    data: Name


def load_plan(
    config: Path | None,
    overrides: Mapping[str, object],
    defaults: Mapping[str, object] | None = None,
) -> Plan:
    """The plan of a TOML file, with flags on top.

    Args:
        config: a plan file, or None where the flags say everything.
        overrides: fields given by flags; None means not given. A latency or speed-up given here
            takes the place of the file's, whichever of the two it is.
        defaults: fields that are this where neither says anything; a budget as above.

    Raises:
        RunFolderError: it is to start from an exploration that cannot be read.
        UsageError: all problems at once, each with its place: `file:key` or the flag.
    """
    flags = {key: value for key, value in overrides.items() if value is not None}
    named = {**beneath(read_toml(config) if config else {}, flags), **flags}
    values = {**beneath(point_values(named) or defaults or {}, named), **named}
    try:
        _Complete.model_validate(values)
    except ValidationError as error:
        problems = config_errors(error, Plan, lambda key: _place(key, config, flags))
        if not any(rule in problem for problem in problems for rule in RULES):
            problems += _budget_problem(values, _place("", config, flags))
        raise UsageError("; ".join(problems)) from error
    return Plan.model_validate(values)


def beneath(values: Mapping[str, object], overrides: Mapping[str, object]) -> dict[str, object]:
    """What of a plan's `values` is left under `overrides`: their latency replaces either kind."""
    replaced = BUDGETS if any(budget in overrides for budget in BUDGETS) else ()
    return {key: value for key, value in values.items() if key not in replaced}


def plan_sha256(plan: Plan) -> str:
    """Hex SHA-256 of what the plan asks for, apart from where files lie.

    Where files lie is left out, as a journal holds the hash of the weights themselves, and so is
    what checks a result and does not change it. A field that runs of before did not know counts
    where it is not at its default, so that these go on. What samples are shown as counts as what
    it comes to.
    """
    fields = type(plan).model_fields
    left_out = {
        name
        for name, field in fields.items()
        if not said_of(field).get(COUNTS, True)
        or (name not in HASHED_AT_DEFAULT and getattr(plan, name) == field.default)
    }
    settled = plan.model_copy(update={"augment": plan.shows_views})
    return hashlib.sha256(settled.model_dump_json(exclude=left_out).encode()).hexdigest()


def _place(key: str, config: Path | None, flags: Mapping[str, object]) -> str:
    if not key:
        budget_in_flags = any(budget in flags for budget in BUDGETS)
        return "--latency-ms, --speedup" if budget_in_flags or not config else str(config)
    return flag(key) if key in flags or config is None else f"{config}:{key}"


def _budget_problem(values: Mapping[str, object], place: str) -> list[str]:
    budgets = [values[budget] for budget in BUDGETS if budget in values]
    if not budgets:
        has_goal = any(goal in values for goal in (*FOOTPRINTS, "max_drop"))
        return [] if has_goal else [f"{place}: {NO_GOAL}"]
    named = any(isinstance(budget, dict) for budget in budgets)
    return [] if len(budgets) == 1 or named else [f"{place}: {BUDGET_RULE}"]
