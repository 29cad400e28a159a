"""Where the documentation is, and which of its pages an error leads to."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgespiral.core.errors import EdgeSpiralError

# What a package calls the address of its documentation (`[project.urls]` of pyproject.toml).
LABEL = "documentation"
OF_COMMANDS = "commands.md"
OF_VERBS = {"bench": "bench.md", "sweep": "sweep.md", "targets": "targets.md"}
NAMED = re.compile(r"\bdocs/(?P<page>[\w/-]+)\.md(?P<anchor>#[\w-]+)?")


def with_page(error: EdgeSpiralError, site: str | None = None, verb: str = "") -> str:
    """The line of an error, with the page that helps where its hint names none.

    Args:
        error: to be told.
        site: address of the documentation; without one pages are files of the repository.
        verb: of the command. Where that reads a file, and not only flags, its page is the better.

    Example:
        >>> from edgespiral.core.errors import DataError
        >>> with_page(DataError("is empty", where="train"))
        'train: is empty (see docs/data.md)'
        >>> from edgespiral.core.errors import UsageError
        >>> with_page(UsageError("no such file", where="suite.toml"), verb="bench")
        'suite.toml: no such file (see docs/bench.md)'
    """
    line = str(error)
    if not NAMED.search(line):
        is_settled = error.page != OF_COMMANDS or line.endswith(" --help")
        page = error.page if is_settled else OF_VERBS.get(verb, error.page)
        line += f" (see docs/{page})"
    return line if site is None else NAMED.sub(rf"{site}/\g<page>.html\g<anchor>", line)


def site_url(package: str = "edgespiral") -> str | None:
    """Address of the documentation as the installed package states it, without a closing slash."""
    try:
        entries = metadata(package).get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    addresses = dict(entry.split(", ", 1) for entry in entries)
    return next(
        (url.rstrip("/") for label, url in addresses.items() if label.lower() == LABEL), None
    )
