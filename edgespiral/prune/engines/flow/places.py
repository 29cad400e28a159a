"""What an operation of a graph is called, and which line of the user's code makes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from torch.fx import Node

FRAME = re.compile(r'File "([^"]+)", line (\d+)')
OURS = Path(__file__).parents[3]
NOT_THE_USERS = (str(Path(torch.__file__).parent), str(OURS))


def described(node: Node, modules: Mapping[str, nn.Module]) -> str:
    """An operation and its place, such as "softmax at net.py:12" or "LSTM rnn"."""
    if node.op == "call_module":
        return f"{type(modules[str(node.target)]).__name__} {node.target}"
    if node.op in ("placeholder", "output", "get_attr"):
        return str(node.target)
    name = getattr(node.target, "__name__", str(node.target))
    line = user_line(node)
    return f"{name} at {line}" if line else name


def user_line(node: Node) -> str | None:
    """The innermost `file:line` of code that is neither PyTorch's nor ours, if it was recorded."""
    frames = FRAME.findall(node.stack_trace or "")
    own = [(file, line) for file, line in frames if not file.startswith((*NOT_THE_USERS, "<"))]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else None
