"""A sweep's plan: what all of its runs have in common, and what they differ by."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from edgespiral.core.config import load_toml_model
from edgespiral.core.errors import UsageError, unknown_name
from edgespiral.core.records.schema import Record
from edgespiral.spiral.plan import Plan, load_plan

if TYPE_CHECKING:
    from pathlib import Path

# Which a sweep sets itself, or which are no run's own.
SET_BY_SWEEP = ("schema_version", "out", "shared")
# By whose values scores are no longer of the same thing, which one front compares.
OF_ANOTHER_KIND = ("data", "task")
LONGEST_NAME, MOST_RUNS = 80, 10_000


class SweepPlan(Record):
    """What a sweep is asked to do; docs/sweep.md explains each field.

    Attributes:
        jobs: how many runs go on at once.
        plan: fields of a plan that all runs have.
        vary: by field, the values that it takes; every combination of them is a run.
    """

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    jobs: Annotated[int, Field(ge=1, le=256)] = 1
    plan: dict[str, Any]
    vary: dict[str, list[Any]] = Field(min_length=1)


@dataclass(frozen=True)
class SweepRun:
    """One combination.

    Attributes:
        name: of its folder; the same for the same values.
        values: that it has of what is varied.
        plan: that it is run by, checked.
    """

    name: str
    values: dict[str, Any]
    plan: Plan


def load_sweep(path: Path) -> SweepPlan:
    """The sweep of a TOML file.

    Raises:
        UsageError: a problem of the file, with its place.
    """
    sweep = load_toml_model(path, SweepPlan)
    for table, names in (("plan", sweep.plan), ("vary", sweep.vary)):
        for name in names:
            _check_name(name, f"{path}:{table}.{name}")
    for name, values in sweep.vary.items():
        place = f"{path}:vary.{name}"
        texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
        if not texts:
            raise UsageError("has no value", where=place)
        if len(set(texts)) < len(texts):
            raise UsageError("has the same value twice", where=place)
        if name in OF_ANOTHER_KIND:
            what = "would compare scores of another kind"
            hint = f"do a sweep for each {name}"
            raise UsageError(what, where=place, hint=hint)
        if name in sweep.plan:
            raise UsageError("is in plan, too", where=place, hint="leave it in one of the tables")
    runs = math.prod(map(len, sweep.vary.values()))
    if runs > MOST_RUNS:
        what = f"{runs:,} combinations, and at most {MOST_RUNS:,} are done"
        raise UsageError(what, where=f"{path}:vary", hint="vary fewer fields at once")
    return sweep


def _check_name(name: str, place: str) -> None:
    if name in SET_BY_SWEEP:
        raise UsageError("is set by the sweep", where=place, hint="leave it out")
    if name not in Plan.model_fields:
        error = unknown_name("field", name, Plan.model_fields)
        raise UsageError(error.what, where=place, hint=error.hint)


def runs_of(sweep: SweepPlan, place: str) -> list[SweepRun]:
    """Every combination, in the order of the file, the last field varying fastest.

    Args:
        sweep: what is asked for.
        place: where it is written, for errors.

    Raises:
        UsageError: a combination is no plan.
    """
    runs = []
    for combination in product(*sweep.vary.values()):
        values = dict(zip(sweep.vary, combination, strict=True))
        try:
            plan = load_plan(None, {**sweep.plan, **values})
        except UsageError as error:
            raise UsageError(f"{_told(values)}: {error}", where=place) from error
        runs.append(SweepRun(name_of(values), values, plan))
    return runs


def name_of(values: dict[str, Any]) -> str:
    """The name of a run's folder: its values as they may be in one, and a hash of them.

    Example:
        >>> name_of({"speedup": 2.0, "seed": 1})
        'speedup-2.0-seed-1-21df0c'
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    words = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(map(str, _flat(values))))
    return f"{words.strip('-.')[:LONGEST_NAME]}-{digest.hexdigest()[:6]}"


def _flat(values: dict[str, Any]) -> list[object]:
    return [part for pair in values.items() for part in pair]


def _told(values: dict[str, Any]) -> str:
    # TOML knows dates and times, which JSON does not.
    return ", ".join(f"{name} = {json.dumps(value, default=str)}" for name, value in values.items())
