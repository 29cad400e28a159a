"""What stands after a source's colon: a path, and options after a question mark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError, UsageError, unknown_name
from edgespiral.core.option import options_of
from edgespiral.core.text import is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Argument:
    """`PATH?name=value&name=value` of a source.

    Args:
        source: the source's name, for messages.
        text: what stands after its colon.
        options: names of the options that it takes.

    Raises:
        UsageError: no path, or an option of another name or given twice.

    Example:
        >>> argument = Argument("folder", "photos?size=64", ["size"])
        >>> argument.path.name, argument.whole_number("size", default=224, least=8, most=4096)
        ('photos', 64)
    """

    def __init__(self, source: str, text: str, options: Sequence[str]) -> None:
        path, _, query = text.partition("?")
        self.where = f"{source}:{text}"
        self.options: Mapping[str, str] = options_of(query, f"--data {self.where}")
        for name in self.options:
            if name not in options:
                raise unknown_name(f"{source} option", name, options)
        if not path:
            raise UsageError(
                "names no path", where=f"--data {self.where}", hint=f"as in {source}:PATH"
            )
        self.path = Path(path).expanduser()

    def whole_number(self, name: str, *, default: int, least: int, most: int = 10**9) -> int:
        """The option `name`, in whatever unit it has.

        Raises:
            DataError: it is no whole number, below `least` or above `most`.
        """
        text = self.options.get(name)
        if text is None:
            return default
        if not is_whole(text, least, most):
            what = f"{name} must be a whole number from {least} to {most}, not {text[:20]!r}"
            raise DataError(what, where=self.where[:200])
        return int(text)

    def positive(self, name: str, most: float) -> float | None:
        """The option `name` as a number above 0; None where it is left out.

        Raises:
            DataError: it is no such number, or above `most`.
        """
        text = self.options.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value <= most:
            raise DataError(
                f"{name} must be above 0 and at most {most:g}, not {text!r}", where=self.where
            )
        return value

    def one_of(self, name: str, values: Sequence[str]) -> str:
        """The option `name`, the first of `values` where it is left out.

        Raises:
            UsageError: it is none of them.
        """
        value = self.options.get(name, values[0])
        if value not in values:
            raise unknown_name(name, value, values)
        return value
