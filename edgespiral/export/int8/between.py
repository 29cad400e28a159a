"""The nodes without weights between an int8 model's layers: which of them are to stay in float."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.export.graph import weighted_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from onnx import ModelProto, NodeProto


def float_surrounded(
    model: ModelProto, kinds: Collection[str], in_float: Collection[str]
) -> list[str]:
    """Names of the nodes without weights that no layer in int8 is next to.

    Were they quantised, they would round tensors that only layers in float read and make. Next to
    each other are those that share a tensor, or that only nodes of one input lie between. A node
    that is next to no layer stays in float if any layer further off does.

    Args:
        kinds: operators that are quantised.
        in_float: names of the layers that are not.
    """
    around, floats = _Surroundings(model, kinds), set(in_float)
    return [node.name for node in around.between if around.is_in_float(node, floats)]


class _Surroundings:
    """Which weighted layers lie around the quantisable nodes of a graph that have no weights."""

    def __init__(self, model: ModelProto, kinds: Collection[str]) -> None:
        self._weighted = {node.name for node in weighted_layers(model)}
        self._held = {tensor.name for tensor in model.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        nodes = [n for n in model.graph.node if n.op_type in kinds and n.name not in self._weighted]
        self._between = {node.name: node for node in nodes}

    @property
    def between(self) -> list[NodeProto]:
        """The quantisable nodes without weights."""
        return list(self._between.values())

    def is_in_float(self, node: NodeProto, floats: set[str]) -> bool:
        """Whether the layers around a node say that it stays in float, given which of them do."""
        beside = self._reached(node, self._has_one_input)
        if beside:
            return beside <= floats
        return not floats.isdisjoint(self._reached(node, lambda _: True))

    def _reached(self, start: NodeProto, passes: Callable[[NodeProto], bool]) -> set[str]:
        names: set[str] = set()
        seen, waiting = {start.name}, [start]
        while waiting:
            for node in self._neighbours(waiting.pop()):
                if node.name in self._weighted:
                    names.add(node.name)
                elif node.name in self._between and node.name not in seen and passes(node):
                    seen.add(node.name)
                    waiting.append(node)
        return names

    def _neighbours(self, node: NodeProto) -> list[NodeProto]:
        before = [self._makers[name] for name in node.input if name in self._makers]
        return before + [reader for name in node.output for reader in self._readers.get(name, ())]

    def _has_one_input(self, node: NodeProto) -> bool:
        return sum(1 for name in node.input if name and name not in self._held) == 1
