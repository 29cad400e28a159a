"""What a caller in Python asks for, as a plan has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import UsageError
from edgespiral.core.text import is_text
from edgespiral.data.user import splits_of
from edgespiral.spiral.plan.fields import Plan
from edgespiral.spiral.plan.loading import beneath
from edgespiral.tasks import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.tasks.base import Task


def fields_of_call(
    model: nn.Module | str,
    data: DataSplits | Mapping[str, Any] | str,
    plan: Plan | None,
    task: Task | str | None,
    options: Mapping[str, object],
) -> tuple[dict[str, object], DataSplits | None]:
    """The fields of a plan that are asked for, and the data where they are in memory.

    Raises:
        UsageError: `plan` is no plan, or `model` no model.
        DataError: `data` are no splits.
    """
    fields = _fields(plan, options)
    name = _named(model, fields)
    if task is not None:
        fields["task"] = task if isinstance(task, str) else DEFAULT
    in_memory = None if isinstance(data, str) else splits_of(data, "data")
    return fields | {"model": name, "data": in_memory.name if in_memory else data}, in_memory


def _fields(plan: object, options: Mapping[str, object]) -> dict[str, object]:
    """The fields that a plan was made with, and on top of them those given by keyword.

    Raises:
        UsageError: `plan` is no plan.
    """
    named = {field: value for field, value in options.items() if value is not None}
    if plan is None:
        return named
    if not isinstance(plan, Plan):
        raise UsageError(
            f"a {type(plan).__name__} is no plan",
            where="plan",
            hint="give edgespiral.Plan(...), or its fields by keyword",
        )
    of_plan = {field: getattr(plan, field) for field in plan.model_fields_set}
    return {**beneath(of_plan, named), **named}


def call_text(function: str, plan: Plan, out: Path) -> str:
    """What was asked of a function of the API, as a person would call it; a report says so."""
    fields = plan.model_dump(mode="json", exclude={"model", "data", "out"}, exclude_unset=True)
    options = [f"{field}={value!r}" for field, value in fields.items()]
    words = [repr(plan.model), repr(plan.data), *options, f"out={str(out)!r}"]
    return f"edgespiral.{function}({', '.join(words)})"


def run_folder(folder: str | Path | None) -> Path:
    """The folder that a run is to lie in.

    Raises:
        UsageError: none is named, or one that could not be written down.
    """
    if folder is not None and not is_text(str(folder)):
        raise UsageError("is not UTF-8", where=str(folder), hint="name another out")
    if folder is None:
        raise UsageError(
            "no run folder is named", where="out", hint='name one, as in out="runs/net"'
        )
    return Path(folder)


def _named(model: object, options: Mapping[str, object]) -> str:
    """What a plan calls the model that was given.

    Raises:
        UsageError: it is none, or has weights already and is to get others.
    """
    from torch import nn

    if isinstance(model, str):
        return model
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"a {type(model).__name__} is no model",
            where="model",
            hint="give a torch.nn.Module, or what the command takes",
        )
    if options.get("weights") is not None:
        raise UsageError(
            "a module has its weights already", where="weights", hint="load them into it before"
        )
    return type(model).__name__
