"""The options that a plan is made of, as the command line takes them.

What each is called, takes and says is read from `plan_options.toml`, which `make plan` writes from
the fields of `Plan`: the plan itself needs packages that take longer to load than `--help` may.
Each is None where it is not given, so that a plan file can be told from a flag.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgespiral.core.errors import UsageError
from edgespiral.core.option import NEEDED, POSITIONAL, Option, Takes, flag
from edgespiral.core.text import is_whole, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgespiral.core.plugins import PluginKind

# What a size can be in a file: of 32 bits.
MOST_OF_A_SIZE = 2**31 - 1

TABLE = Path(__file__).with_name("plan_options.toml")
READ_AS: dict[Takes, type] = {
    "text": str,
    "texts": list[str],
    "path": Path,
    "int": int,
    "float": float,
    "switch": bool,
    "number-or-word": str,
    "budget": list[str],
}


def read_options(table: Path = TABLE) -> list[Option]:
    """The options of a table that `make plan` wrote, in its order."""
    return [Option(**row) for row in tomllib.loads(table.read_text(encoding="utf-8"))["option"]]


PLAN_OPTIONS = {option.name: option for option in read_options()}


def help_of(option: Option) -> str:
    """What `--help` says of an option; plug-ins' names are those that come with EdgeSpiral.

    Others' packages are not looked at for a help text.
    """
    text = option.help.replace("`", "")
    if not option.names_of:
        return text
    module, _, kind_name = option.names_of.partition(":")
    kind: PluginKind[Any] = getattr(importlib.import_module(module), kind_name)
    return text.replace(
        "{names}", f"{', '.join(kind.built_in())} or others of `edgespiral plugins`"
    )


Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run that is in the run folder.")
]
Config = Annotated[Path | None, typer.Option(help="A plan file; flags override what it says.")]
Weights = Annotated[Path | None, typer.Option(help="The trained weights: .safetensors or .pt.")]
Shape = Annotated[
    list[str] | None,
    typer.Option(help="Shape of an input that has none: 1x3x224x224 or NAME:1x3x224x224."),
]
Tokens = Annotated[
    int | None, typer.Option(min=2, help="With --input-shape: inputs are ids below this.")
]
TaskName = Annotated[str, typer.Option(help=help_of(PLAN_OPTIONS["task"]))]


def with_options(
    options: Iterable[Option],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: hand a verb the plan's fields as `flags`, and give it an option for each.

    Args:
        options: of the fields. `flags` has all of them; None where one was not given.
    """
    by_name = {option.name: option for option in options}

    def decorated(verb: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def called(**arguments: Any) -> None:  # noqa: ANN401
            flags = {name: _value(option, arguments.pop(name)) for name, option in by_name.items()}
            verb(**arguments, flags=flags)

        own = inspect.signature(verb, eval_str=True).parameters.values()
        parameters = [*map(_parameter, by_name.values()), *(p for p in own if p.name != "flags")]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorated


def _parameter(option: Option) -> inspect.Parameter:
    default = False if option.default in ("", NEEDED) else option.default
    words: dict[str, Any] = {"help": help_of(option), "show_default": default}
    if option.name == POSITIONAL:
        info = typer.Argument(**words)
    else:
        names = [f"{flag(option.name)}/--no-{flag(option.name)[2:]}"]
        info = typer.Option(
            *(names if option.takes == "switch" else []),
            **words,
            metavar=option.metavar or None,
            rich_help_panel=option.group or None,
        )
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[READ_AS[option.takes] | None, info],
    )


def _value(option: Option, value: Any) -> object:  # noqa: ANN401 (as typer read it)
    """What a plan takes of what a person gave; None where nothing was given."""
    if option.takes == "budget":
        return budget(flag(option.name), value)
    if option.takes == "number-or-word":
        return _number_if_one(value)
    return value or None if option.takes == "texts" else value


def _number_if_one(text: str | None) -> float | str | None:
    if text is None:
        return None
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def budget(flag: str, words: Sequence[str] | None) -> float | dict[str, float] | None:
    """The budget that `flag` gives: a number for all targets, or one for each by its name.

    Raises:
        UsageError: not a number, a target twice, or a number for all beside others.
    """
    parts = [word.rpartition("=") for word in words or ()]
    pairs = [(name, _number(flag, value)) for name, _, value in parts]
    named = dict(pairs)
    if len(named) < len(pairs):
        twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
        raise UsageError(f"given twice{f' for {twice}' if twice else ''}", where=flag)
    if "" not in named:
        return named or None
    if len(named) > 1:
        hint = "write TARGET=VALUE for every target, or one value for all"
        raise UsageError("a value for all targets beside those for some", where=flag, hint=hint)
    return named[""]


def _number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"not a number: {text!r}", where=flag) from None


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Input name (empty where none is given) and sizes of `NAME:1x3x224x224`.

    Raises:
        UsageError: a size is not a whole number from 1 up.
    """
    name, _, sizes = text.rpartition(":")
    numbers = sizes.replace(",", "x").split("x")
    if not all(is_whole(number, 1, MOST_OF_A_SIZE) for number in numbers):
        hint = "write 1x3x224x224 or NAME:1x3x224x224"
        raise UsageError(f"not a shape: {shortened(text)!r}", where="--shape", hint=hint)
    return name, tuple(int(number) for number in numbers)


def require_not_read(out: Path, inputs: Iterable[str | Path | None], where: str = "--out") -> None:
    """Refuse to write to a file that the same command reads, or to one in a folder that it does.

    Args:
        inputs: as they were given: paths, and names that may be those of `file.py:function` or of
            `kind:path`; None of what was not given.

    Raises:
        UsageError: it is one of them.
    """
    for path in inputs:
        text = "" if path is None else str(path)
        for name in filter(None, (text, *text.split(":"))):
            with suppress(OSError, ValueError):
                if _holds(Path(name), out):
                    what = f"{out} is what the command reads"
                    raise UsageError(what, where=where, hint="name another file")


def _holds(read: Path, out: Path) -> bool:
    if read.is_dir():
        return out.exists() and out.resolve().is_relative_to(read.resolve())
    return read.is_file() and read.samefile(out)
