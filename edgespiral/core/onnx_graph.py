"""ONNX graphs in one form, however they were written: weights are initialisers, nodes have names.

All of this is valid ONNX: nodes without a name or with another's, weights in `Constant` nodes or
behind an `Identity`, initialisers that are listed as inputs too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

# The first in which an initialiser need not be an input.
LEAST_IR = 4
# The key under which ONNX keeps the name of a file with weights.
EXTERNAL_MARK = b"location"
STANDARD = ("", "ai.onnx")


def node_name(node: NodeProto) -> str:
    """A node's name; one without gets what TensorRT's parser calls it."""
    return node.name or f"node_of_{next(filter(None, node.output), '')}"


def fed_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that a caller has to give: those that no initialiser holds."""
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {tensor.values.name for tensor in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in stored]


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside a node: the branches of an `If`, the body of a `Loop`."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor that a graph holds: initialisers, and those of nodes and of their subgraphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for part in subgraphs(node):
            yield from all_tensors(part)


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph and of those in its nodes: the branches of an If, the body of a Loop."""
    for node in graph.node:
        yield node
        for part in subgraphs(node):
            yield from all_nodes(part)


def used_names(graph: GraphProto) -> set[str]:
    """The tensors that something reads: a node, one in a subgraph, or who runs the model."""
    names = {value.name for value in graph.output}
    for node in graph.node:
        names.update(node.input)
        for part in subgraphs(node):
            names |= used_names(part)
    return names


def normalise(model: ModelProto) -> ModelProto:
    """`model` in the one form, changed in place where that goes; what it computes stays.

    The same file always gets the same names.
    """
    model = hold_weights(model)
    _name_nodes(model.graph)
    return model


def hold_weights(model: ModelProto) -> ModelProto:
    """As `normalise`, but nodes keep the names that the file has for them."""
    from onnx import inliner

    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = model.graph
    inputs = fed_inputs(graph)
    if len(inputs) != len(graph.input):
        del graph.input[:]
        graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, LEAST_IR)
    _hold_constants(model)
    _skip_identities(graph)
    return model


def _hold_constants(model: ModelProto) -> None:
    """Make `Constant` nodes initialisers, but for graph outputs and what is no dense tensor."""
    graph = model.graph
    outputs = {value.name for value in graph.output}
    remaining = []
    for node in graph.node:
        tensor = None if node.output[:1] and node.output[0] in outputs else _constant(node)
        if tensor is None:
            remaining.append(node)
            continue
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
    if len(remaining) != len(graph.node):
        _set_nodes(graph, remaining)
        model.ir_version = max(model.ir_version, LEAST_IR)


def _constant(node: NodeProto) -> TensorProto | None:
    """What a `Constant` node holds."""
    from onnx import TensorProto, helper

    if node.op_type != "Constant" or node.domain not in STANDARD or len(node.attribute) != 1:
        return None
    [attribute] = node.attribute
    value = helper.get_attribute_value(attribute)
    kinds = {"value_float": TensorProto.FLOAT, "value_int": TensorProto.INT64}
    kind = kinds.get(attribute.name.removesuffix("s"))
    if attribute.name == "value":
        copy = TensorProto()
        copy.CopyFrom(value)
        return copy
    if kind is None:
        return None
    is_list = attribute.name.endswith("s")
    return helper.make_tensor(
        "", kind, [len(value)] if is_list else [], value if is_list else [value]
    )


def _skip_identities(graph: GraphProto) -> None:
    """Let the users of a weight behind `Identity` nodes have the weight itself."""
    stored = {tensor.name for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    sources: dict[str, str] = {}
    remaining = []
    for node in graph.node:
        passes = node.op_type == "Identity" and node.domain in STANDARD
        source = sources.get(node.input[0], node.input[0]) if passes else ""
        if passes and source in stored and node.output[0] not in outputs:
            sources[node.output[0]] = source
        else:
            remaining.append(node)
    if sources:
        _rename_inputs(remaining, sources)
        _set_nodes(graph, remaining)


def _rename_inputs(nodes: list[NodeProto], sources: Mapping[str, str]) -> None:
    for node in nodes:
        for position, name in enumerate(node.input):
            node.input[position] = sources.get(name, name)
        for part in subgraphs(node):
            _rename_inputs(list(part.node), sources)


def _set_nodes(graph: GraphProto, nodes: list[NodeProto]) -> None:
    copies = []
    for node in nodes:
        copy = type(node)()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)


def _name_nodes(graph: GraphProto) -> None:
    """Name nodes that have no name, or that of one before them."""
    names: set[str] = set()
    own = {node.name for node in graph.node}
    for node in graph.node:
        name = node_name(node)
        number = 1
        while name in names or (number > 1 and name in own):
            number += 1
            name = f"{node_name(node)}_{number}"
        names.add(name)
        node.name = name
