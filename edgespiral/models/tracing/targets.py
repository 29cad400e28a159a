"""Layers that are called what no attribute can be called, such as `class` in a `ModuleDict`.

torch.fx writes the code of a graph, and takes every identifier for an attribute, keywords too, and
puts other names between quotes as they are.
"""

from __future__ import annotations

from keyword import iskeyword

from torch.fx import graph


def written_target(base: str, target: str) -> str:
    r"""Code that gets what lies at a dotted path.

    Args:
        base: code of the object that the path begins at.
        target: names with dots between them.

    Example:
        >>> written_target("self", "heads.class"), written_target("self", "0.a\"b")
        ("getattr(self.heads, 'class')", 'getattr(getattr(self, \'0\'), \'a"b\')')
    """
    for name in target.split("."):
        # Python reads others than ASCII in a normal form, which may be another name.
        is_attribute = name.isascii() and name.isidentifier() and not iskeyword(name)
        base = f"{base}.{name}" if is_attribute else f"getattr({base}, {name!r})"
    return base


def install() -> None:
    """Have torch.fx write targets so, for graphs of this process."""
    if hasattr(graph, "_format_target"):
        graph._format_target = written_target
