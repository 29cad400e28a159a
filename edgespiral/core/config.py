"""TOML files read into records, with every problem of a file in one error."""

from __future__ import annotations

import re
import reprlib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from edgespiral.core.errors import UsageError, unknown_name
from edgespiral.core.system.files import SETTINGS_BYTES, read_text
from edgespiral.core.text import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)

MOST_PROBLEMS, LONGEST_VALUE = 10, 100
MOST_KEY_PARTS = 32
KEY_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
ENDLESS_KEY = re.compile(rf"(?<![\w-]){KEY_PART}(?:[ \t]*+\.[ \t]*+{KEY_PART}){{{MOST_KEY_PARTS}}}")
LIMITS = {
    "greater_than": ("must be >", "gt"),
    "greater_than_equal": ("must be >=", "ge"),
    "less_than": ("must be <", "lt"),
    "less_than_equal": ("must be <=", "le"),
}


@dataclass(frozen=True)
class Choices:
    """Marks a field of which a key of its table, the `kind`, says what record it is.

    Problems below such a field are expected to have the kind before the key.

    Args:
        kinds: all that the key may say.
        record: of one of them.
    """

    kinds: Callable[[], Collection[str]]
    record: Callable[[str], type[BaseModel]]


def load_toml_model(path: Path, model: type[M], context: Mapping[str, object] | None = None) -> M:
    """The record that the TOML file at `path` holds; `context` is handed to its validators.

    Raises:
        UsageError: all problems of the file, each as `file:key: problem`.
    """
    values = read_toml(path)
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        problems = config_errors(error, model, lambda key: f"{path}:{key}" if key else str(path))
        raise UsageError("; ".join(problems)) from error


def read_toml(path: Path) -> dict[str, object]:
    """The top-level table of the TOML file at `path`.

    Raises:
        UsageError: it cannot be read, or is not TOML; the line and column are named.
    """
    text = settings_text(path)
    try:
        values = tomllib.loads(text)
    except RecursionError as error:
        raise UsageError("is not TOML: nested too deeply", where=str(path)) from error
    except ValueError as error:  # also of numbers of thousands of digits
        raise UsageError(f"is not TOML: {shortened(str(error))}", where=str(path)) from error
    if _has_endless_number(values):
        raise UsageError("is not TOML: a whole number of more than 64 bits", where=str(path))
    return values


def _has_endless_number(values: dict[str, object]) -> bool:
    waiting: list[object] = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            return True
    return False


def settings_text(path: Path) -> str:
    """The text of a TOML file that a person wrote, which is of a sensible size.

    Raises:
        UsageError: it cannot be read, is too long, or has keys of too many parts, which take
            parsers a time that grows with the square of their number.
    """
    try:
        text = read_text(path, SETTINGS_BYTES)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", where=str(path)) from error
    endless = ENDLESS_KEY.search(text)
    if endless:
        line = text.count("\n", 0, endless.start()) + 1
        raise UsageError(
            f"is not TOML: a key of more than {MOST_KEY_PARTS} parts (at line {line})",
            where=str(path),
        )
    return text


def config_errors(
    error: ValidationError, model: type[BaseModel], place: Callable[[str], str]
) -> list[str]:
    """The first problems of a validation, one `place: problem` each, and how many more there are.

    Args:
        error: what `model.model_validate` raised.
        model: the record that was asked for; its fields are the known keys.
        place: makes a place of a dotted key, which is empty for the record as a whole.
    """
    details = error.errors(include_url=False)
    problems = [_line(detail, model, place) for detail in details[:MOST_PROBLEMS]]
    more = len(details) - len(problems)
    return [*problems, f"and {more} more problems"] if more else problems


def _line(detail: ErrorDetails, model: type[BaseModel], place: Callable[[str], str]) -> str:
    keys, record = _walk(model, detail["loc"])
    key = shortened(".".join(keys), LONGEST_VALUE)
    return f"{place(key)}: {_problem(detail, record)}"


def _problem(detail: ErrorDetails, record: type[BaseModel] | None) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        fields = record.model_fields.items() if record else ()
        return _unknown("key", detail["loc"][-1], [field.alias or name for name, field in fields])
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", context["expected"])
        return _unknown(str(detail["loc"][-1]).replace("_", " "), value, choices)
    if kind in LIMITS:
        words, limit = LIMITS[kind]
        return f"{words} {context[limit]:g}, is {_written(value)}"
    if kind == "value_error":
        return shortened(str(context["error"]))
    return f"{detail['msg'].replace('Input should be', 'must be')}, is {_written(value)}"


def _written(value: object) -> str:
    """A value that a file gave, which may be of any size and depth."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxlong = brief.maxother = LONGEST_VALUE
    return brief.repr(value)


def unknown_choice(kind: str, name: object, names: Iterable[str]) -> ValueError:
    """The error for a validator to raise of a name that is none of `known`, with the nearest."""
    return ValueError(_unknown(kind, name, names))


def _unknown(kind: str, name: object, names: Iterable[str]) -> str:
    return str(unknown_name(kind, shortened(str(name), LONGEST_VALUE), names)).replace("; ", ", ")


def _walk(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[list[str], type[BaseModel] | None]:
    """The keys on the way to `location`, and the record that the last of them is looked up in."""
    keys: list[str] = []
    record: type[BaseModel] | None = model
    following: type[BaseModel] | None = model
    choices: Choices | None = None
    for part in location:
        union, choices = choices, None
        if union and part in union.kinds():
            following = union.record(str(part))
            continue
        keys.append(str(part))
        if isinstance(part, int):
            continue
        record = following
        field = _field(record, part) if record else None
        choices = _choices(field) if field else None
        following = _nested_model(field.annotation) if field else None
    return keys, record


def _choices(field: FieldInfo) -> Choices | None:
    return next((mark for mark in field.metadata if isinstance(mark, Choices)), None)


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    named = (f for name, f in model.model_fields.items() if key in (name, f.alias))
    return next(named, None)


def _nested_model(annotation: object) -> type[BaseModel] | None:
    for choice in (annotation, *get_args(annotation)):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    return None
