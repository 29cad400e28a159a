"""What is not followed: results that stand for no channel, and operations that freeze."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.fx import Node

    from edgespiral.prune.engines.flow.labels import Labeller

Rule = Callable[["Labeller", "Node", Any], Any]


def unlabelled(value: object) -> Any:  # noqa: ANN401
    """Labels of a result that stands for no channel: 0, or None where it is not a tensor."""
    if isinstance(value, torch.Tensor):
        return torch.zeros(value.shape, dtype=torch.long)
    if isinstance(value, tuple | list) and any(isinstance(v, torch.Tensor) for v in value):
        return tuple(unlabelled(v) for v in value)
    return None


def opaque(run: Labeller, node: Node, value: object) -> Any:  # noqa: ANN401
    """Freeze what goes into an operation of which nothing is known."""
    return run.opaque(node, value) if run.tensors((node.args, node.kwargs)) else unlabelled(value)
