"""Writes what is derived from the fields of `Plan`: `make plan`.

These are the options of `edgespiral compress` (`plan_options.toml`) and the table of docs/plan.md.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import tomlkit

from edgespiral.spiral.plan import Plan
from edgespiral.spiral.plan.field import plan_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgespiral.core.option import Option

# Not imported from `options`, which cannot be loaded while the table is damaged.
TABLE = Path(__file__).with_name("plan_options.toml")
DOCS = Path(__file__).parents[2] / "docs" / "plan.md"
HEADER = "Written by `make plan` from the fields in edgespiral/spiral/plan: edit those."
BEGIN, END = "<!-- The fields, written by `make plan`. -->\n", "<!-- End of the fields. -->\n"
TABLE_OF_DOCS = re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)
HEAD = "| key | default | meaning |\n| --- | --- | --- |\n"
SCHEMA = "| `schema` | 1 | Version of this format. |\n"


def options_text(options: Iterable[Option]) -> str:
    """The table that the command line reads, in TOML."""
    rows = tomlkit.aot()
    for option in options:
        parts = {key: value for key, value in asdict(option).items() if value}
        rows.append(tomlkit.item(parts))
    document = tomlkit.document()
    document.add(tomlkit.comment(HEADER))
    document.add("option", rows)
    return tomlkit.dumps(document)


def docs_rows(options: Iterable[Option]) -> str:
    """The table that people read, in Markdown."""
    return "".join([HEAD, SCHEMA, *map(_row, options)])


def _row(option: Option) -> str:
    text = option.help.replace("{names}", "`edgespiral plugins` lists them")
    more = f" See {option.pages}." if option.pages else ""
    return f"| `{option.name}` | {_default_in_a_file(option)} | {text}{more} |\n"


def _default_in_a_file(option: Option) -> str:
    """As a plan file has it: there a switch is true or false, unless a rule settles it."""
    flag = option.name.replace("_", "-")
    values = {flag: "true", f"no-{flag}": "false"} if option.takes == "switch" else {}
    return values.get(option.default, option.default) or "none"


def with_rows(page: str, rows: str) -> str:
    """`page` with its table of fields replaced by `rows`.

    Raises:
        ValueError: the page has not one place for it.
    """
    text, count = TABLE_OF_DOCS.subn(lambda _: rows, page)
    if count != 1:
        raise ValueError(f"{count} places for the table of fields, between {BEGIN!r} and {END!r}")
    return text


def main() -> None:
    """Write both files anew."""
    options = plan_options(Plan)
    TABLE.write_text(options_text(options), encoding="utf-8")
    page = DOCS.read_text(encoding="utf-8")
    DOCS.write_text(with_rows(page, docs_rows(options)), encoding="utf-8")


if __name__ == "__main__":
    main()
