"""Reading what TensorRT for RTX prints of an engine's layers, and finding what was left unfused.

An engine cannot be opened without a GPU, so its inspector tells nothing there. The builder prints
the same lines itself, to a verbose logger, where detailed profiling is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.onnx_graph import hold_weights, node_name
from edgespiral.measure.model_files import read_proto

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from onnx import GraphProto, NodeProto

LAYER = re.compile(r"^Name: (?P<name>.+?), LayerType: (?P<kind>\w+), (?P<rest>.*)$", re.MULTILINE)
SECTION = re.compile(
    r"(Inputs|Constants|Outputs): \[(.*?)\](?=, (?:Constants|Outputs|TacticName)|$)"
)
TENSOR = re.compile(r"Name: (.+?), Dimensions: \[[\d,-]*\].*?Datatype: (\w+)")
# Names are told apart by the ASCII unit separator.
ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\x1f]+?)\](?=\x1f|, |$)")
ROUNDS = ("QuantizeLinear", "DequantizeLinear")
WEIGHTED = ("Conv", "Gemm", "MatMul")
INT8 = "Int8"
# Layers that the builder generates have names that are made of what they do.
GENERATED, ROUNDS_ITSELF = "kgen", "RounCast"
MULTIPLIES = re.compile("Corr|gemm")


@dataclass(frozen=True)
class CompiledLayer:
    """One layer of an engine: its tensors' names and types, and the ONNX nodes that it does."""

    name: str
    kind: str
    inputs: dict[str, str]
    constants: dict[str, str]
    nodes: frozenset[str]

    @property
    def multiplies_in_int8(self) -> bool:
        """Whether it multiplies data that come in as 8 bits, or that it rounds itself."""
        generated = self.kind == GENERATED
        multiplies = not generated or MULTIPLIES.search(self.name) is not None
        rounds = generated and ROUNDS_ITSELF in self.name
        return multiplies and (rounds or INT8 in self.inputs.values())

    @property
    def has_int8_weights(self) -> bool:
        """Whether one of its constants has 8 bits."""
        return INT8 in self.constants.values()


def compiled_layers(text: str) -> list[CompiledLayer]:
    """The layers in the builder's listing, in the order they run."""
    layers = []
    for line in LAYER.finditer(text):
        sections = {
            name: dict(TENSOR.findall(body)) for name, body in SECTION.findall(line["rest"])
        }
        layers.append(
            CompiledLayer(
                line["name"],
                line["kind"],
                sections.get("Inputs", {}),
                sections.get("Constants", {}),
                frozenset(ONNX_LAYER.findall(line["rest"])),
            )
        )
    return layers


def unfused(layers: Sequence[CompiledLayer], model: Path) -> list[str]:
    """What of an ONNX file's quantisation the builder did not make use of, by node.

    That is a weighted layer of which data and weights are dequantised, and no compiled layer
    multiplies it in 8 bits; and a compiled layer that does nothing but round. The one that rounds
    the network's own input is needed and not named.
    """
    graph = hold_weights(read_proto(model)).graph
    fast = [layer for layer in layers if layer.multiplies_in_int8]
    missed = [
        node_name(node)
        for node, has_weights in quantised_layers(graph)
        if not any(
            node_name(node) in layer.nodes and (layer.has_int8_weights or not has_weights)
            for layer in fast
        )
    ]
    rounds = {node_name(node) for node in graph.node if node.op_type in ROUNDS}
    graph_inputs = {value.name for value in graph.input}
    alone = [
        name
        for layer in layers
        if layer.nodes and layer.nodes <= rounds and not graph_inputs & set(layer.inputs)
        for name in sorted(layer.nodes)
    ]
    return missed + alone


def quantised_layers(graph: GraphProto) -> list[tuple[NodeProto, bool]]:
    """The products of an ONNX graph that have two dequantised factors; is the second a weight?"""
    dequantisers = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    sources = {name: node.input[0] for node in dequantisers for name in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type in WEIGHTED]
    return [
        (node, sources[node.input[1]] in constants)
        for node in products
        if sources.keys() >= set(node.input[:2])
    ]
