"""A sweep's plan: what all of its runs have in common, and what they differ by."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, FiniteFloat, Tag, model_validator

from edgespiral.core.config import load_toml_model
from edgespiral.core.errors import UsageError, unknown_name
from edgespiral.core.records.schema import Record
from edgespiral.spiral.plan import Plan, load_plan
from edgespiral.spiral.plan.field import COUNTS, DISTILLATION, OPTION, said_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# Which a sweep sets itself, or which are no run's own.
SET_BY_SWEEP = ("schema_version", "out", "shared")
# By whose values scores are no longer of the same thing, which one front compares.
OF_ANOTHER_KIND = ("data", "task")
LONGEST_NAME, MOST_RUNS = 80, 10_000
# Hexadecimal digits of a hash in a name, and in one that would be another run's otherwise.
DIGITS, MORE_DIGITS = 6, 32
MOST_JOBS = 256


STRICT = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)


class Range(Record):
    """Numbers from `low` to `high` that a search tries; whole ones where both are whole.

    `log` says that each order of magnitude counts alike.
    """

    model_config = STRICT

    low: int | FiniteFloat
    high: int | FiniteFloat
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, is {self.low:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 with log, is {self.low:g}")
        return self


def _kind(tried: object) -> str:
    return "choices" if isinstance(tried, list) else "range"


Tried = (
    Annotated[Range, Tag("range")]
    | Annotated[list[Any], Field(min_length=1), Tag("choices")]
)  # fmt: skip


class SearchPlan(Record):
    """Settings of the training that are searched, in so many runs of each combination.

    Attributes:
        trials: runs of each combination of what the sweep varies.
        seed: of what is tried.
        fields: by field of the plan, a range, or the values that it may have.
    """

    model_config = STRICT

    trials: Annotated[int, Field(ge=1, le=10_000)]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    fields: dict[str, Annotated[Tried, Discriminator(_kind)]] = Field(min_length=1)


class RaySettings(Record):
    """What a run takes of a node of a Ray cluster."""

    model_config = STRICT

    cpus: Annotated[int | FiniteFloat, Field(ge=0)] = 1
    gpus: Annotated[int | FiniteFloat, Field(ge=0)] = 0


class SlurmSettings(Record):
    """What `sbatch` is asked for each run, such as `--gres=gpu:1`."""

    model_config = STRICT

    options: list[Annotated[str, Field(pattern=r"^--\S[^\r\n]*$")]] = Field(default_factory=list)


class SweepPlan(Record):
    """What a sweep is asked to do; docs/sweep.md explains each field.

    Attributes:
        jobs: how many runs go on at once; None: one here, and elsewhere as many as there is room.
        plan: fields of a plan that all runs have.
        vary: by field, the values that it takes; every combination of them is a run.
        search: settings that are searched in each combination.
        ray: what a run takes of a node.
        slurm: what it asks of `sbatch`.
    """

    model_config = STRICT

    schema_version: Literal[1] = Field(default=1, alias="schema")
    jobs: Annotated[int, Field(ge=1, le=MOST_JOBS)] | None = None
    plan: dict[str, Any]
    vary: dict[str, list[Any]] = Field(default_factory=dict)
    search: SearchPlan | None = None
    ray: RaySettings = RaySettings()
    slurm: SlurmSettings = SlurmSettings()

    @property
    def varied(self) -> list[str]:
        """All fields that runs differ by."""
        return [*self.vary, *(self.search.fields if self.search else ())]


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
    _check_varied(sweep, path)
    if sweep.search is not None:
        _check_search(sweep, f"{path}:search.fields")
    elif not sweep.vary:
        raise UsageError("nothing differs", where=str(path), hint="give it [vary] or [search]")
    return sweep


def _check_varied(sweep: SweepPlan, path: Path) -> None:
    for name, values in sweep.vary.items():
        place = f"{path}:vary.{name}"
        texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
        if not texts:
            raise UsageError("has no value", where=place)
        if len(set(texts)) < len(texts):
            raise UsageError("has the same value twice", where=place)
        if name in OF_ANOTHER_KIND:
            what, hint = "would compare scores of another kind", f"do a sweep for each {name}"
            raise UsageError(what, where=place, hint=hint)
        if name in sweep.plan:
            raise UsageError("is in plan, too", where=place, hint="leave it in one of the tables")
    runs = math.prod(map(len, sweep.vary.values()))
    if runs > MOST_RUNS:
        what = f"{runs:,} combinations, and at most {MOST_RUNS:,} are done"
        raise UsageError(what, where=f"{path}:vary", hint="vary fewer fields at once")


def _check_search(sweep: SweepPlan, place: str) -> None:
    for name in sweep.search.fields if sweep.search else ():
        _check_name(name, f"{place}.{name}")
        if name not in searchable():
            hint = f"one of {', '.join(searchable())}"
            raise UsageError("is no setting of the training", where=f"{place}.{name}", hint=hint)
        if name in sweep.plan or name in sweep.vary:
            hint = "leave it in one of the tables"
            raise UsageError("is in plan or vary, too", where=f"{place}.{name}", hint=hint)


def searchable() -> list[str]:
    """Fields of a plan that say how students are trained, and change what comes of it."""
    extras = {name: said_of(field) for name, field in Plan.model_fields.items()}
    return [
        name
        for name, extra in extras.items()
        if extra.get(OPTION, {}).get("group") == DISTILLATION and extra[COUNTS] and name != "seed"
    ]


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
        UsageError: a combination is no plan, or the same plan as another.
    """
    runs = [run_of(sweep, values, place) for values in combinations(sweep.vary)]
    _require_differing(runs, place)
    counts = Counter(run.name for run in runs)
    return [
        run if counts[run.name] == 1 else replace(run, name=name_of(run.values, MORE_DIGITS))
        for run in runs
    ]


def _require_differing(runs: Sequence[SweepRun], place: str) -> None:
    """Refuse what would be trained twice, as 2 and 2.0 are the same speed-up."""
    earlier: dict[str, SweepRun] = {}
    for run in runs:
        same = earlier.setdefault(run.plan.model_dump_json(), run)
        if same is not run:
            what = f"the run of {_told(same.values)} is that of {_told(run.values)}, too"
            raise UsageError(what, where=f"{place}:vary", hint="leave one of the values out")


def combinations(vary: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of values, the last field varying fastest.

    Example:
        >>> list(combinations({"a": [1, 2], "b": [3]}))
        [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """
    for combination in product(*vary.values()):
        yield dict(zip(vary, combination, strict=True))


def run_of(sweep: SweepPlan, values: dict[str, Any], place: str) -> SweepRun:
    """The run that has these values of what differs.

    Raises:
        UsageError: it is no plan.
    """
    try:
        plan = load_plan(None, {**sweep.plan, **values})
    except UsageError as error:
        raise UsageError(f"{_told(values)}: {error}", where=place) from error
    return SweepRun(name_of(values), values, plan)


def name_of(values: dict[str, Any], digits: int = DIGITS) -> str:
    """The name of a run's folder: its values as they may be in one, and a hash of them.

    Args:
        values: that the run has of what is varied.
        digits: of the hash that are in the name.

    Example:
        >>> name_of({"speedup": 2.0, "seed": 1})
        'speedup-2.0-seed-1-21df0c'
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    words = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(map(str, _flat(values))))
    return f"{words.strip('-.')[:LONGEST_NAME]}-{digest.hexdigest()[:digits]}"


def _flat(values: dict[str, Any]) -> list[object]:
    return [part for pair in values.items() for part in pair]


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {json.dumps(value, default=str)}" for name, value in values.items())
