"""Sources as trees, each parsed once for all checks of a file of tests that look at it."""

import ast
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@cache
def parsed(source: str) -> ast.Module:
    """The tree of a source, which nobody changes."""
    return ast.parse(source)


@contextmanager
def trees() -> Iterator[None]:
    """Keep trees for a while, through which no collection of garbage goes meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        parsed.cache_clear()
        gc.enable()
