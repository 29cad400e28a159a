"""What `edgespiral init` writes: texts by path, all of them or none, and never over a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgespiral.core.errors import EdgeSpiralError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from edgespiral.spiral.plan import Plan

# Said in every plan, at its default too, as what people look for first.
ALWAYS = ("model", "data", "target", "max_drop", "epochs")
HEAD = """\
# Written by `edgespiral init`. docs/plan.md has every key; flags of `edgespiral compress` go before
# what is said here. Paths are relative to the folder in which it is called.
"""


def require_new(paths: Iterable[Path], hint: str = "") -> None:
    """Refuse to write over anything.

    Args:
        paths: that are to be written.
        hint: what else there is to do.

    Raises:
        UsageError: some are there already.
    """
    present = [path for path in paths if os.path.lexists(path)]
    if not present:
        return
    are, them = ("is", "it") if len(present) == 1 else ("are", "them")
    ways = [f"move {them} away, or begin in another folder", *([hint] if hint else [])]
    raise UsageError(
        f"{are} there already, and init overwrites nothing",
        where=", ".join(map(str, present)),
        hint="; ".join(ways),
    )


def write_all(texts: Mapping[Path, str]) -> None:
    """Write each text to its path, folders included.

    Raises:
        UsageError: one is there already; nothing is written then.
        RunFolderError: one cannot be written; those that were are taken back.
    """
    from edgespiral.core.system.files import make_folder, write_text

    require_new(texts)
    written: list[Path] = []
    try:
        for path, text in texts.items():
            make_folder(path.parent)
            write_text(path, text)
            written.append(path)
    except EdgeSpiralError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def plan_text(plan: Plan) -> str:
    """A plan as a file that `load_plan` reads back, each key with what it means above it."""
    fields = type(plan).model_fields
    lines = [HEAD]
    for name, field in fields.items():
        value = getattr(plan, name)
        if value is None or (name not in ALWAYS and value == field.default):
            continue
        about = (field.description or "").replace("{names}", "see `edgespiral plugins`")
        lines.append(f"\n# {about}\n{name} = {_toml(value)}\n")
    return "".join(lines)


def suite_text(model: Path, target: str, budget_ms: float | None, shape: tuple[int, ...]) -> str:
    """A suite of the gate with one ONNX file.

    Args:
        model: the file, as seen from the suite's folder.
        target: to measure on.
        budget_ms: for the median, if there is one.
        shape: of its input with the batch, where it does not say so itself; or empty.
    """
    lines = [
        "# Written by `edgespiral init`. docs/bench.md has every key.",
        "schema = 1",
        f"target = {_toml(target)}",
        "",
        "[[model]]",
        f"path = {_toml(str(model))}",
        *([f"budget_ms = {_toml(budget_ms)}"] if budget_ms is not None else []),
        *([f"shape = {_toml(shape)}"] if shape else []),
    ]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    import tomlkit

    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    return tomlkit.item(list(value) if isinstance(value, tuple) else _plain(value)).as_string()


def _plain(value: object) -> object:
    return value if isinstance(value, bool | int | float | str) else str(value)
