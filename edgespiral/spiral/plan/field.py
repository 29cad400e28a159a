"""A plan's field with all that is said of it, which is written nowhere else."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field

from edgespiral.core.option import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from edgespiral.core.option import Takes

OPTION, COUNTS = "option", "counts"
# The headings of `edgespiral compress --help`.
BUDGET = "Goal (a budget or several, or --max-drop alone)"
CUTTING = "Cutting"
DISTILLATION = "Distillation"
TAKES: dict[object, Takes] = {
    str: "text",
    tuple: "texts",
    Path: "path",
    int: "int",
    float: "float",
    bool: "switch",
    dict: "budget",
}


def plan_field(
    default: object,
    text: str,
    *,
    pages: str = "",
    shown: str = "",
    metavar: str = "",
    group: str = "",
    names_of: str = "",
    counts: bool = True,
) -> Any:  # noqa: ANN401 (as pydantic's own)
    """A field of `Plan`: an option of `edgespiral compress` and a row of docs/plan.md.

    Args:
        default: its value where nothing is given.
        text: a sentence or two in Markdown, for `--help` and the docs.
        pages: of docs/, in Markdown, which say more.
        shown: the default in words, where the value itself would tell nobody.
        metavar, group, names_of: as in `Option`.
        counts: whether a run that was begun with another value is another run.
    """
    option: dict[str, Any] = {"pages": pages, "default": shown, "metavar": metavar}
    option |= {"group": group, "names_of": names_of}
    extra: dict[str, Any] = {OPTION: option, COUNTS: counts}
    return Field(default=default, description=text, json_schema_extra=extra)


def said_of(field: FieldInfo) -> dict[str, Any]:
    """What `plan_field` was told of a field; nothing of one that it did not make."""
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def plan_options(plan: type[BaseModel]) -> list[Option]:
    """All fields of a plan that `plan_field` made, in their order.

    Raises:
        TypeError: a field is of a type that no option takes.
    """
    return [option for name, field in plan.model_fields.items() for option in _option(name, field)]


def _option(name: str, field: FieldInfo) -> Iterator[Option]:
    option = said_of(field).get(OPTION)
    if option is not None:
        default = option["default"] or _written(name, field.default)
        parts = {**option, "default": default, "help": field.description or ""}
        yield Option(name=name, takes=takes(field.annotation), **parts)


def _written(name: str, default: object) -> str:
    if isinstance(default, bool):
        return (name if default else f"no-{name}").replace("_", "-")
    return "" if default is None else str(default)


def takes(annotation: object) -> Takes:
    """What the command line reads for a field of this type.

    Raises:
        TypeError: no option takes such a thing.

    Example:
        >>> takes(float | None), takes(int | Literal["auto"])
        ('float', 'number-or-word')
    """
    kinds = set(_kinds(annotation)) - {NoneType}
    for several in (dict, tuple):
        if several in kinds:
            return TAKES[several]
    if len(kinds) > 1 and kinds <= {int, float, str}:
        return "number-or-word"
    if len(kinds) == 1:
        [kind] = kinds
        if kind in TAKES:
            return TAKES[kind]
    raise TypeError(f"no option takes {annotation}; teach edgespiral/cli/options.py to")


def _kinds(annotation: object) -> Iterator[object]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _kinds(arguments[0])
    elif origin is Literal:
        yield from map(type, arguments)
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _kinds(argument)
    else:
        yield origin or annotation
