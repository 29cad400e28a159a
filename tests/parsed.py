"""Sources as trees, each parsed once for all checks of a process that look at it."""

import ast
from functools import cache


@cache
def parsed(source: str) -> ast.Module:
    """The tree of a source, which nobody changes."""
    return ast.parse(source)
