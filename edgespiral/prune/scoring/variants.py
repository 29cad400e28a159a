"""Many variants of one model on the same inputs, each run from where it begins to differ.

A variant that masks one group computes the same as the model up to the group's first consumer. So
the model is run once, node by node, and wherever a variant begins to differ it goes on from there
with copies of the values that are still to be read. Nothing is kept beyond that, and no variant
needs a copy of the model.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch.fx

from edgespiral.prune.branches import Silencing
from edgespiral.prune.masking import gated, gated_layers, keep_gates
from edgespiral.prune.scoring.reconstruct import folded_weights, with_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch.fx import GraphModule, Node

    from edgespiral.prune.branches import Branch
    from edgespiral.prune.groups import ChannelGroup
    from edgespiral.prune.scoring.reconstruct import Moments, Weights


@dataclass(frozen=True)
class Variant:
    """A model of which some groups have closed gates and some branches are gone.

    Attributes:
        groups: those that lose channels.
        kept_channels: of each of these, the channels that stay.
        branches: those that are gone.
        weights: of layers into which what goes is folded.
    """

    groups: Sequence[ChannelGroup]
    kept_channels: Mapping[str, Sequence[int]]
    branches: Sequence[Branch]
    weights: Mapping[str, Weights]

    @classmethod
    def of(
        cls,
        model: GraphModule,
        groups: Sequence[ChannelGroup],
        kept_channels: Mapping[str, Sequence[int]],
        branches: Sequence[Branch],
        moments: Mapping[str, Moments],
    ) -> Variant:
        """`model` with `kept_channels` of `groups`; what is not named stays whole."""
        # Inside of a branch that is gone nothing runs, and nothing is to be closed.
        inside = {name for branch in branches for name in branch.groups}
        narrower = [
            g for g in groups if len(kept_channels.get(g.name, range(g.channels))) < g.channels
        ]
        weights = folded_weights(model, narrower, kept_channels, moments)
        closed = [group for group in narrower if group.name not in inside]
        return cls(closed, kept_channels, branches, weights)

    def first_node(self, model: GraphModule) -> Node:
        """Where it begins to compute something else than `model`; failing that, the output."""
        layers = gated_layers(model, self.groups) | {*map(model.get_submodule, self.weights)}
        silencing = Silencing(model, self.branches)
        *inner, end = model.graph.nodes
        changed = (
            node
            for node in inner
            if silencing.differs_at(node)
            or (node.op == "call_module" and model.get_submodule(str(node.target)) in layers)
        )
        first: Node = next(changed, end)
        return first

    @contextmanager
    def applied(self, model: GraphModule) -> Iterator[Silencing]:
        """What runs `model` as this variant while the context lasts."""
        gates = keep_gates(self.groups, self.kept_channels)
        with with_weights(model, self.weights), gated(model, self.groups, gates):
            yield Silencing(model, self.branches)


class Tour(torch.fx.Interpreter):
    """Runs a model, and each variant from where it begins to differ.

    Args:
        model: the traced model.
        variants: of it.
        seen: called with a variant's index and its outputs, in the order of the graph.
    """

    def __init__(
        self, model: GraphModule, variants: Sequence[Variant], seen: Callable[[int, Any], None]
    ) -> None:
        super().__init__(model)
        self._model, self._variants, self._seen = model, variants, seen
        self._starting: dict[Node, list[int]] = {}
        for index, variant in enumerate(variants):
            self._starting.setdefault(variant.first_node(model), []).append(index)

    def run_node(self, n: Node) -> object:
        """Run the variants that begin to differ at the node, then the node itself."""
        for index in self._starting.get(n, ()):
            # All at once, so that views stay views: what comes after may work in place.
            values = dict(zip(self.env, copy.deepcopy([*self.env.values()]), strict=True))
            with self._variants[index].applied(self._model) as variant:
                self._seen(index, variant.run_from(n, values))
        return super().run_node(n)
