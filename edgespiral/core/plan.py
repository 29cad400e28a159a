"""The plan: everything a compression run is asked to do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from edgespiral.core.config import config_errors, read_toml
from edgespiral.core.errors import UsageError
from edgespiral.core.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

Name = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
File = Annotated[Path, Field(strict=False)]
Criterion = Literal["l1", "l2", "fpgm", "random", "taylor", "fisher"]

BUDGETS = ("latency_ms", "speedup")
BUDGET_RULE = "exactly one of latency_ms and speedup is needed"


class Plan(Record):
    """What to compress, how far, and by what means; `docs/plan.md` explains each field.

    The budget is either a median latency or a speed-up over the teacher. Paths are relative to
    the current folder.
    """

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: Name
    weights: File | None = None
    data: Name
    target: Name = "host-cpu"
    precision: Literal["fp32", "fp16", "int8", "auto"] | None = None
    recipe: Name = "default"
    qat: Literal["auto", "never", "always"] = "auto"
    latency_ms: Positive | None = None
    speedup: Annotated[float, Field(gt=1)] | None = None
    max_drop: Positive = 2.0
    turns: int | Literal["auto"] = "auto"
    epochs: Positive = 4.0
    criterion: Criterion = "fisher"
    pruner: Literal["auto", "nni", "depgraph", "flow"] = "auto"
    allocation: Literal["latency", "global", "uniform"] = "latency"
    teacher: Literal["previous", "original", "both"] = "original"
    temperature: Positive = 4.0
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9
    batch_size: Annotated[int, Field(ge=2)] = 128
    learning_rate: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    out: File | None = None

    @field_validator("turns", mode="plain")
    @classmethod
    def _whole_turns(cls, value: object) -> int | str:
        if value == "auto" or (isinstance(value, int) and value is not True and value >= 1):
            return value
        raise ValueError(f'must be a whole number from 1 up or "auto", is {value!r}')

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.latency_ms is None) == (self.speedup is None):
            raise ValueError(BUDGET_RULE)
        return self


def load_plan(config: Path | None, overrides: Mapping[str, object]) -> Plan:
    """The plan of a TOML file, with flags on top.

    Args:
        config: a plan file, or None where the flags say everything.
        overrides: fields given by flags; None means not given. A budget given here takes the
            place of the file's, whichever of the two it is.

    Raises:
        UsageError: all problems at once, each with its place: `file:key` or the flag.
    """
    flags = {key: value for key, value in overrides.items() if value is not None}
    values = {**_below(read_toml(config) if config else {}, flags), **flags}
    try:
        return Plan.model_validate(values)
    except ValidationError as error:
        problems = config_errors(error, Plan, lambda key: _place(key, config, flags))
        if not any(BUDGET_RULE in problem for problem in problems):
            problems += _budget_problem(values, _place("", config, flags))
        raise UsageError("; ".join(problems)) from error


def plan_sha256(plan: Plan) -> str:
    """Hex SHA-256 of what the plan asks for, apart from where files lie.

    `out` and `weights` are left out: a journal holds the hash of the weights themselves.
    """
    return hashlib.sha256(plan.model_dump_json(exclude={"out", "weights"}).encode()).hexdigest()


def flag(field: str) -> str:
    """The command-line name of a plan field."""
    return "MODEL" if field == "model" else f"--{field.replace('_', '-')}"


def _below(values: dict[str, object], flags: Mapping[str, object]) -> dict[str, object]:
    if not any(budget in flags for budget in BUDGETS):
        return values
    return {key: value for key, value in values.items() if key not in BUDGETS}


def _place(key: str, config: Path | None, flags: Mapping[str, object]) -> str:
    if not key:
        budget_in_flags = any(budget in flags for budget in BUDGETS)
        return "--latency-ms, --speedup" if budget_in_flags or not config else str(config)
    return flag(key) if key in flags or config is None else f"{config}:{key}"


def _budget_problem(values: Mapping[str, object], place: str) -> list[str]:
    given = [budget for budget in BUDGETS if budget in values]
    return [] if len(given) == 1 else [f"{place}: {BUDGET_RULE}"]
