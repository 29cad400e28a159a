"""Writes each example's script as a notebook beside it: `python examples/write_notebooks.py`.

The page of the example comes first, then a cell for the head of the script and one for each of its
functions, and at last the call that runs it.
"""

import ast
import itertools
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cells(script: str) -> list[str]:
    """The code of each cell; `if __name__ == "__main__"` becomes a call without a command line."""
    tree, lines = ast.parse(script), script.splitlines()
    starts = [_start(node, lines) for node in tree.body if isinstance(node, ast.FunctionDef)]
    head = tree.body[1].lineno - 1  # after the docstring, which the page says in more words
    end = tree.body[-1].lineno - 1
    bounds = [head, *starts, end]
    parts = ["\n".join(lines[a:b]).strip() for a, b in itertools.pairwise(bounds)]
    return [*filter(None, parts), "main([])"]


def _start(node: ast.FunctionDef, lines: list[str]) -> int:
    """The line from 0 at which a function begins, with the decorators and comments above it."""
    start = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
    while lines[start - 1].startswith("#"):
        start -= 1
    return start


def notebook(script: Path) -> str:
    """The notebook of an example, in the fourth format of Jupyter's, without outputs."""
    page = (script.parent / "README.md").read_text(encoding="utf-8")
    written: list[dict[str, Any]] = [{"cell_type": "markdown", "source": page}]
    written += (
        {"cell_type": "code", "execution_count": None, "outputs": [], "source": code}
        for code in cells(script.read_text(encoding="utf-8"))
    )
    for number, cell in enumerate(written):
        cell |= {
            "id": f"cell-{number}",
            "metadata": {},
            "source": cell["source"].splitlines(keepends=True),
        }
    whole = {
        "cells": written,
        "metadata": {"kernelspec": KERNEL, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def scripts() -> list[Path]:
    """The scripts that have a notebook."""
    return sorted([*HERE.glob("*/main.py"), *HERE.glob("*/make_models.py")])


if __name__ == "__main__":
    for path in scripts():
        path.with_suffix(".ipynb").write_text(notebook(path), encoding="utf-8")
