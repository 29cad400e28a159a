"""Where a forward asks for no gradients, as under `torch.no_grad`, which no graph has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

UNTRAINED = "untrained"


def note_grad_mode(node: Node, value: object) -> None:
    """Mark an operation whose result has no gradients, whatever it is made of."""
    makes = node.op not in ("placeholder", "get_attr")
    if makes and isinstance(value, torch.Tensor) and not torch.is_grad_enabled():
        node.meta[UNTRAINED] = True


def stop_gradients(graph: GraphModule) -> None:
    """Have no gradient go back from the rest of a graph to the operations that are marked.

    It is not part of a trace, since students train all that they have.
    """
    for node in list(graph.graph.nodes):
        readers = [user for user in node.users if not user.meta.get(UNTRAINED)]
        if not node.meta.get(UNTRAINED) or not readers:
            continue
        with graph.graph.inserting_after(node):
            apart = graph.graph.call_method("detach", (node,))
        for reader in readers:
            reader.replace_input_with(node, apart)
    graph.recompile()
