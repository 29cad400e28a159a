"""What single values of a plan may be."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from edgespiral.core.errors import UsageError
from edgespiral.core.plugins import plugin_of
from edgespiral.core.records.schema import Sparsity, one_line
from edgespiral.distill.settings import check_optimizer
from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.prune.engines import AUTO, PRUNING_ENGINES
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.tasks import check_name

# A pebibyte is beyond all that runs models.
MOST_MEBIBYTES = 2**30


def _task_name(spec: str) -> str:
    try:
        return check_name(spec)
    except UsageError as error:
        raise ValueError(f"{error.what}, {error.hint}") from error


def _target_names(value: object) -> str | tuple[str, ...]:
    if isinstance(value, list | tuple):
        names = tuple(map(_name, value))
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if not names or twice is not None:
            raise ValueError(f"{twice} is named twice" if names else "names no target")
        return names if len(names) > 1 else names[0]
    return _name(value)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a valid string, is {value!r}")
    if not value:
        raise ValueError("must not be empty")
    return value


def _budget_above(least: float, value: object) -> float | dict[str, float] | None:
    if isinstance(value, dict):
        if not value:
            raise ValueError("names no target, give a number or one for each target")
        return {str(name): _number_above(least, budget) for name, budget in value.items()}
    return None if value is None else _number_above(least, value)


def _not_beyond_all(value: float | dict[str, float]) -> float | dict[str, float]:
    for budget in value.values() if isinstance(value, dict) else (value,):
        if budget > MOST_MEBIBYTES:
            raise ValueError(f"must be <= {MOST_MEBIBYTES}, is {budget:g}")
    return value


def _number_above(least: float, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a valid number, is {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"must be a finite number, is {value!r}")
    if value <= least:
        raise ValueError(f"must be > {least:g}, is {value!r}")
    return float(value)


def _count_or(word: str, value: object) -> int | str:
    if value == word or (isinstance(value, int) and value is not True and value >= 1):
        return value
    raise ValueError(f'must be a whole number from 1 up or "{word}", is {value!r}')


def _share_or_pattern(value: object) -> float | str:
    if value in ("none", "2:4") or (isinstance(value, float) and 0 < value < 1):
        return value
    raise ValueError(f'must be a share of weights between 0 and 1, "2:4" or "none", is {value!r}')


def _parameter_budget(value: object) -> int | float | None:
    """A count of parameters, or a share of the teacher's between 0 and 1."""
    if value is None:
        return None
    number = _number_of_share(value) if isinstance(value, str) else value
    if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number):
        if number >= 1 and float(number).is_integer() and not isinstance(value, str):
            return int(number)
        if 0 < number < 1:
            return number
    raise ValueError(
        'must be a count of parameters from 1 up or a share below 100 % such as "50%", '
        f"is {value!r}"
    )


def _number_of_share(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else math.nan
    except ValueError:
        return math.nan


def _optimizer_name(spec: str) -> str:
    try:
        return check_optimizer(spec)
    except UsageError as error:
        raise ValueError(f"{error.what}, {error.hint}") from error


def _texts(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _family(value: object) -> object:
    """Names, of which several may be in one text, with commas between them."""
    if not isinstance(value, list | tuple):
        return value
    names = tuple(
        part for text in value for part in (text.split(",") if isinstance(text, str) else [text])
    )
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is named twice")
    return names


Name = Annotated[str, Field(min_length=1), AfterValidator(one_line)]
Positive = Annotated[float, Field(gt=0)]
Mebibytes = Annotated[float, Field(gt=0, le=MOST_MEBIBYTES)]
NotNegative = Annotated[float, Field(ge=0)]
File = Annotated[Path, Field(strict=False)]
TaskName = Annotated[Name, AfterValidator(_task_name)]
OptimizerName = Annotated[Name, AfterValidator(_optimizer_name)]
CriterionName = Annotated[Name, AfterValidator(plugin_of(CRITERIA))]
PrunerName = Annotated[Name, AfterValidator(plugin_of(PRUNING_ENGINES, besides=(AUTO,)))]
RuntimeName = Annotated[Name, AfterValidator(plugin_of(RUNTIMES, besides=(AUTO,)))]
Texts = Annotated[tuple[Name, ...], BeforeValidator(_texts)]
Family = Annotated[tuple[Name, ...], BeforeValidator(_family)]
Targets = Annotated[str | tuple[str, ...], BeforeValidator(_target_names)]
# A number for all targets, or one for each by its name.
AboveZero = Annotated[float | dict[str, float], BeforeValidator(partial(_budget_above, 0.0))]
AboveOne = Annotated[float | dict[str, float], BeforeValidator(partial(_budget_above, 1.0))]
MebibytesEach = Annotated[
    float | dict[str, float],
    BeforeValidator(partial(_budget_above, 0.0)),
    AfterValidator(_not_beyond_all),
]
# Whole numbers are counts, others shares of the teacher's.
ParameterBudget = Annotated[int | float, PlainValidator(_parameter_budget)]
Turns = Annotated[int | Literal["auto"], PlainValidator(partial(_count_or, "auto"))]
Devices = Annotated[int | Literal["all"], PlainValidator(partial(_count_or, "all"))]
ShareOrPattern = Annotated[Sparsity, PlainValidator(_share_or_pattern)]
