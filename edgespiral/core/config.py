"""TOML files read into records, with every problem of a file in one error."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from edgespiral.core.errors import UsageError
from edgespiral.core.registry import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)

LIMITS = {
    "greater_than": ("must be >", "gt"),
    "greater_than_equal": ("must be >=", "ge"),
    "less_than": ("must be <", "lt"),
    "less_than_equal": ("must be <=", "le"),
}


def load_toml_model(path: Path, model: type[M]) -> M:
    """The record that the TOML file at `path` holds.

    Raises:
        UsageError: all problems of the file, each as `file:key: problem`.
    """
    values = read_toml(path)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = config_errors(error, model, lambda key: f"{path}:{key}" if key else str(path))
        raise UsageError("; ".join(problems)) from error


def read_toml(path: Path) -> dict[str, object]:
    """The top-level table of the TOML file at `path`.

    Raises:
        UsageError: it cannot be read, or is not TOML; the line and column are named.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"is not TOML: {error}", where=str(path)) from error


def config_errors(
    error: ValidationError, model: type[BaseModel], place: Callable[[str], str]
) -> list[str]:
    """Every problem of a validation, one `place: problem` each, in the order found.

    Args:
        error: what `model.model_validate` raised.
        model: the record that was asked for; its fields are the known keys.
        place: makes a place of a dotted key, which is empty for the record as a whole.
    """
    return [
        f"{place('.'.join(str(part) for part in detail['loc']))}: {_problem(detail, model)}"
        for detail in error.errors(include_url=False)
    ]


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return _unknown("key", detail["loc"][-1], _known_keys(model, detail["loc"][:-1]))
    if kind == "literal_error" and isinstance(given, str):
        names = re.findall(r"'([^']*)'", context["expected"])
        return _unknown(str(detail["loc"][-1]).replace("_", " "), given, names)
    if kind in LIMITS:
        words, limit = LIMITS[kind]
        return f"{words} {context[limit]:g}, is {given!r}"
    if kind == "value_error":
        return str(context["error"])
    return f"{detail['msg'].replace('Input should be', 'must be')}, is {given!r}"


def _unknown(kind: str, name: object, known: Iterable[str]) -> str:
    return str(unknown_name(kind, str(name), known)).replace("; ", ", ")


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    # Numbers are positions in a list of tables.
    for part in (part for part in path if isinstance(part, str)):
        field = _field(model, part)
        nested = _nested_model(field.annotation) if field else None
        if nested is None:
            return []
        model = nested
    return [field.alias or name for name, field in model.model_fields.items()]


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    named = (f for name, f in model.model_fields.items() if key in (name, f.alias))
    return next(named, None)


def _nested_model(annotation: object) -> type[BaseModel] | None:
    for choice in (annotation, *get_args(annotation)):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    return None
