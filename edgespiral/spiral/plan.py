"""The plan: everything a compression run is asked to do."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgespiral.core.config import config_errors, read_toml
from edgespiral.core.errors import UsageError
from edgespiral.core.plugins import plugin_of
from edgespiral.core.records.schema import Record, Sparsity, one_line
from edgespiral.prune.engines import AUTO, PRUNING_ENGINES
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.tasks import DEFAULT, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

Name = Annotated[str, Field(min_length=1), AfterValidator(one_line)]
Positive = Annotated[float, Field(gt=0)]
File = Annotated[Path, Field(strict=False)]

# What each kind of budget must be above.
BUDGETS = {"latency_ms": 0.0, "speedup": 1.0}
BUDGET_RULE = "exactly one of latency_ms and speedup is needed"


def _task_name(spec: str) -> str:
    try:
        return check_name(spec)
    except UsageError as error:
        raise ValueError(f"{error.what}, {error.hint}") from error


class Plan(Record):
    """What to compress, how far, and by what means; `docs/plan.md` explains each field.

    The budget is either a median latency or a speed-up over the teacher; where there are several
    targets, one for all, or one for each by its name. Paths are relative to the current folder.
    `model` and `data` are needed in a plan of the command line; in Python, `compress` takes them
    beside the plan.

    Raises:
        UsageError: a value that `docs/plan.md` does not allow, an unknown field, or not exactly one
            budget for each target; all problems at once, each with its field.

    Example:
        >>> from edgespiral import Plan
        >>> plan = Plan(speedup=2, max_drop=1.5, epochs=4)
        >>> plan.targets, plan.criterion
        (('host-cpu',), 'fisher')
    """

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: Name = ""
    weights: File | None = None
    data: Name = ""
    task: Annotated[Name, AfterValidator(_task_name)] = DEFAULT
    target: str | tuple[str, ...] = "host-cpu"
    precision: Literal["fp32", "fp16", "int8", "auto"] | None = None
    recipe: Name = "default"
    qat: Literal["auto", "never", "always"] = "auto"
    latency_ms: float | dict[str, float] | None = None
    speedup: float | dict[str, float] | None = None
    max_drop: Positive = 2.0
    turns: int | Literal["auto"] = "auto"
    epochs: Positive = 4.0
    criterion: Annotated[Name, AfterValidator(plugin_of(CRITERIA))] = "fisher"
    pruner: Annotated[Name, AfterValidator(plugin_of(PRUNING_ENGINES, besides=(AUTO,)))] = AUTO
    allocation: Literal["latency", "global", "uniform"] = "latency"
    sparsity: Sparsity = "none"
    teacher: Literal["previous", "original", "both"] = "original"
    temperature: Positive = 4.0
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9
    batch_size: Annotated[int, Field(ge=2)] = 128
    learning_rate: Positive | None = None
    augment: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    device_samples: Annotated[int, Field(ge=0)] = 512
    latency_cache: File | None = None
    out: File | None = None

    # Type checkers know the fields better than this signature does.
    if not TYPE_CHECKING:

        def __init__(self, **fields: object) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                problems = config_errors(error, Plan, lambda key: key or ", ".join(BUDGETS))
                raise UsageError("; ".join(problems)) from error

        # Or validation would go by way of it, and `load_plan` not get at single problems.
        __init__.__pydantic_base_init__ = True

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, the leading one first."""
        return (self.target,) if isinstance(self.target, str) else self.target

    def budget_of(self, target: str) -> dict[str, float]:
        """The budgets that hold for `target`, by their kind: one in a valid plan."""
        given = {kind: getattr(self, kind) for kind in BUDGETS}
        own = {k: v[target] for k, v in given.items() if isinstance(v, dict) and target in v}
        return own or {k: v for k, v in given.items() if isinstance(v, float)}

    @field_validator("target", mode="before")
    @classmethod
    def _target_names(cls, value: object) -> str | tuple[str, ...]:
        if isinstance(value, list | tuple):
            names = tuple(map(_name, value))
            twice = next((name for name, count in Counter(names).items() if count > 1), None)
            if not names or twice is not None:
                raise ValueError(f"{twice} is named twice" if names else "names no target")
            return names if len(names) > 1 else names[0]
        return _name(value)

    @field_validator(*BUDGETS, mode="before")
    @classmethod
    def _budgets(cls, value: object, info: ValidationInfo) -> float | dict[str, float] | None:
        least = BUDGETS[str(info.field_name)]
        if isinstance(value, dict):
            return {str(name): _number_above(least, one) for name, one in value.items()}
        return None if value is None else _number_above(least, value)

    @field_validator("turns", mode="plain")
    @classmethod
    def _whole_turns(cls, value: object) -> int | str:
        if value == "auto" or (isinstance(value, int) and value is not True and value >= 1):
            return value
        raise ValueError(f'must be a whole number from 1 up or "auto", is {value!r}')

    @field_validator("sparsity", mode="plain")
    @classmethod
    def _share_or_pattern(cls, value: object) -> float | str:
        if value in ("none", "2:4") or (isinstance(value, float) and 0 < value < 1):
            return value
        raise ValueError(
            f'must be a share of weights between 0 and 1, "2:4" or "none", is {value!r}'
        )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        for target in self.targets:
            if len(self.budget_of(target)) != 1:
                several = len(self.targets) > 1
                raise ValueError(f"{BUDGET_RULE}{f' for {target}' if several else ''}")
        for given in (self.latency_ms, self.speedup):
            strangers = sorted(set(given) - set(self.targets)) if isinstance(given, dict) else ()
            for name in strangers:
                known = ", ".join(self.targets)
                raise ValueError(f"a budget is given for {name}, the plan's targets are: {known}")
        return self


class _Complete(Plan):
    """A plan that also says what is compressed, and on which data."""

    model: Name
    data: Name


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
    values = {**beneath(read_toml(config) if config else {}, flags), **flags}
    try:
        _Complete.model_validate(values)
    except ValidationError as error:
        problems = config_errors(error, Plan, lambda key: _place(key, config, flags))
        if not any(BUDGET_RULE in problem for problem in problems):
            problems += _budget_problem(values, _place("", config, flags))
        raise UsageError("; ".join(problems)) from error
    return Plan.model_validate(values)


def beneath(values: Mapping[str, object], overrides: Mapping[str, object]) -> dict[str, object]:
    """What of a plan's `values` is left under `overrides`: their budget replaces either kind."""
    replaced = BUDGETS if any(budget in overrides for budget in BUDGETS) else ()
    return {key: value for key, value in values.items() if key not in replaced}


def plan_sha256(plan: Plan) -> str:
    """Hex SHA-256 of what the plan asks for, apart from where files lie.

    `out` and `weights` are left out: a journal holds the hash of the weights themselves. So is
    what checks a result and does not change it.
    """
    others = {"out", "weights", "latency_cache", "device_samples"}
    if plan.task == DEFAULT:  # runs from before there were tasks go on
        others.add("task")
    return hashlib.sha256(plan.model_dump_json(exclude=others).encode()).hexdigest()


def flag(field: str) -> str:
    """The command-line name of a plan field."""
    return "MODEL" if field == "model" else f"--{field.replace('_', '-')}"


def _place(key: str, config: Path | None, flags: Mapping[str, object]) -> str:
    if not key:
        budget_in_flags = any(budget in flags for budget in BUDGETS)
        return "--latency-ms, --speedup" if budget_in_flags or not config else str(config)
    return flag(key) if key in flags or config is None else f"{config}:{key}"


def _budget_problem(values: Mapping[str, object], place: str) -> list[str]:
    given = [values[budget] for budget in BUDGETS if budget in values]
    named = any(isinstance(budget, dict) for budget in given)
    return [] if len(given) == 1 or named else [f"{place}: {BUDGET_RULE}"]


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a valid string, is {value!r}")
    if not value:
        raise ValueError("must not be empty")
    return value


def _number_above(least: float, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a valid number, is {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"must be a finite number, is {value!r}")
    if value <= least:
        raise ValueError(f"must be > {least:g}, is {value!r}")
    return float(value)
