"""A module that gives what its layers compute, for runtimes whose files are made of modules."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.export.onnx import export_onnx
from edgespiral.models.calling import call
from edgespiral.models.saved import load_model, save_model, trace

if TYPE_CHECKING:
    from pathlib import Path

    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors

MULTIPLIES = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase)
FILE = "layers.onnx"


def write_tapped_module(source: Path, folder: Path, example: Tensors) -> list[str]:
    """Write a model of which each output is that of a layer with weights, in the order they run.

    Layers whose outputs have not the samples in front are left out.

    Args:
        source: the folder that a module is in.
        folder: where `layers.onnx` is put with the module that it was exported from.
        example: a sample of batch 1.

    Returns:
        The layers' names; nothing is written where there is none.

    Raises:
        ModelError: there is no module, or it cannot be traced.
        ExportError: it has no ONNX form.
    """
    graph = trace(load_model(source), example)
    layers = [node for node in graph.graph.nodes if _multiplies(graph, node)]
    outputs = [_tensor(graph, node) for node in layers]
    _give(graph, outputs)
    with torch.no_grad():
        values = call(graph, example)
    kept = [at for at, value in enumerate(values) if value.ndim and len(value) == 1]
    if not kept:
        return []
    _give(graph, [outputs[at] for at in kept])
    save_model(graph, folder)
    export_onnx(graph, folder / FILE, example=example)
    return [str(layers[at].target) for at in kept]


def _multiplies(graph: GraphModule, node: Node) -> bool:
    return node.op == "call_module" and isinstance(
        graph.get_submodule(str(node.target)), MULTIPLIES
    )


def _tensor(graph: GraphModule, node: Node) -> Node:
    """What a layer gives; of a recurrent one its outputs at all steps."""
    if not isinstance(graph.get_submodule(str(node.target)), nn.RNNBase):
        return node
    with graph.graph.inserting_after(node):
        return graph.graph.call_function(operator.getitem, (node, 0))


def _give(graph: GraphModule, outputs: list[Node]) -> None:
    """Let `graph` return these, and compute nothing else."""
    [returned] = [node for node in graph.graph.nodes if node.op == "output"]
    returned.args = (tuple(outputs),)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
