"""A traced encoder-decoder taken apart: what depends on the source alone, and one decoder step.

While it is trained, a decoder is given all words at once ("teacher forcing"). When it runs, it is
given the word that it has said last, and what it remembers: the states of its recurrent layers. So
its step is the same graph for one word, in which these states come in and go out. Whether that is
the same function is tried on samples (`proven`): a decoder that looks at earlier words in another
way, such as attention over them, is not.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node, symbolic_trace

from edgespiral.core.errors import ModelError, first_few
from edgespiral.core.text import described
from edgespiral.core.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

SOURCE, TARGET, TOKEN, LOGITS = "source", "target", "token", "logits"
# Of the largest logit: kernels for one word and for many sum in other orders.
STEP_SHARE = 1e-3


@dataclass(frozen=True)
class Halves:
    """An encoder-decoder in two modules, which share the layers of the whole one.

    Attributes:
        encoder: `source` (N, S) -> a dict of what the step needs of it and the first states.
        step: `token` (N, 1), with what the encoder gave and the states of the step before -> a
            dict of `logits` (N, 1, V) and the states for the step after.
        states: names of what changes from step to step.
    """

    encoder: nn.Module
    step: nn.Module
    states: tuple[str, ...]


def halves_of(model: nn.Module) -> Halves:
    """`model`, which takes `source` and `target` ids and returns logits, in two halves.

    Raises:
        ModelError: it cannot be traced, takes other inputs, or its decoder needs of the source what
            is no tensor.
    """
    graph = _traced(model)
    inputs = {str(node.target): node for node in graph.graph.find_nodes(op="placeholder")}
    if inputs.keys() != {SOURCE, TARGET}:
        raise ModelError(
            f"the model takes {', '.join(inputs) or 'nothing'}, not {SOURCE} and {TARGET}",
            hint="def forward(self, source, target): ids (N, S), (N, T) -> logits (N, T, V)",
        )
    returned = next(iter(graph.graph.find_nodes(op="output"))).args[0]
    if not isinstance(returned, Node):
        # A graph holds them in kinds of its own.
        kind = "dict" if isinstance(returned, dict) else "tuple"
        raise ModelError(f"the model returns a {kind}, not one tensor of logits (N, T, V)")
    late = _reached_from(inputs[TARGET])
    # What depends on neither, such as a scaled parameter, is in both halves.
    early = _reached_from(inputs[SOURCE]) - late
    states = _States.of(graph, late)
    needed = {
        f"encoded_{node.name}": node
        for node in graph.graph.nodes
        if node in early and not set(node.users) & late <= states.begun_with(node)
    }
    encoder = _encoder(graph, inputs[SOURCE], needed, states, late)
    return Halves(encoder, _step(graph, inputs[TARGET], needed, states, early), states.names)


def proven(model: nn.Module, halves: Halves, inputs: Mapping[str, Tensor]) -> None:
    """Run the halves word by word beside the whole.

    Args:
        model: in eval mode.
        halves: of it.
        inputs: `source` (N, S) and `target` (N, T).

    Raises:
        ModelError: they say something else, or fail.
    """
    hint = "a decoder may remember earlier words in recurrent layers (LSTM, GRU) alone"
    failed = f"the model fails on {len(inputs[SOURCE])} samples"
    with torch.no_grad():
        with user_code(ModelError, failed, where=type(model).__name__):
            whole = model(**inputs)
        try:
            run = steps(halves, inputs)
            stepwise = torch.cat([logits for logits, _ in run], 1)
        except Exception as error:
            raise ModelError(
                f"its decoder does not run a word at a time: {described(error)}", hint=hint
            ) from error
    handed = {name for name, value in run[0][1].items() if not isinstance(value, torch.Tensor)}
    if handed:
        raise ModelError(
            f"what its decoder needs of the source is no tensor: {first_few(sorted(handed))}",
            hint="take sizes of the words so far, not of the source, in the decoder",
        )
    if whole.shape != stepwise.shape:
        raise ModelError(f"the model returns {tuple(whole.shape)}, not logits (N, T, V)", hint=hint)
    allowed = STEP_SHARE * float(whole.abs().max())
    apart = float((whole - stepwise).abs().max())
    # Written so that a difference that is no number fails.
    if not apart <= allowed:
        raise ModelError(
            f"a word at a time its decoder says something else: logits differ by {apart:.2g}, "
            f"{allowed:.2g} is allowed",
            hint=hint,
        )


def steps(
    halves: Halves, inputs: Mapping[str, Tensor]
) -> Sequence[tuple[Tensor, dict[str, Tensor]]]:
    """Logits of each step over the words of `target`, and what the step was given."""
    state = halves.encoder(inputs[SOURCE])
    run = []
    for at in range(inputs[TARGET].shape[1]):
        step_inputs = {TOKEN: inputs[TARGET][:, at : at + 1], **state}
        outputs = halves.step(**step_inputs)
        run.append((outputs[LOGITS], step_inputs))
        state = state | {name: outputs[name] for name in halves.states}
    return run


def _traced(model: nn.Module) -> GraphModule:
    if isinstance(model, GraphModule):
        return model
    try:
        return symbolic_trace(model)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"cannot be taken apart, since it cannot be traced: {reason}") from error


def _reached_from(start: Node) -> set[Node]:
    reached, waiting = {start}, [start]
    while waiting:
        fresh = [user for user in waiting.pop().users if user not in reached]
        reached.update(fresh)
        waiting += fresh
    return reached


@dataclass(frozen=True)
class _States:
    """The recurrent layers of a decoder, in the order they run, with names for their states."""

    layers: dict[Node, nn.RNNBase]

    @classmethod
    def of(cls, graph: GraphModule, late: set[Node]) -> _States:
        modules = {
            node: graph.get_submodule(str(node.target))
            for node in graph.graph.nodes
            if node in late and node.op == "call_module"
        }
        return cls({node: m for node, m in modules.items() if isinstance(m, nn.RNNBase)})

    def names_of(self, node: Node) -> tuple[str, ...]:
        """One for a GRU, two for an LSTM."""
        number = list(self.layers).index(node)
        both = (f"state_{number}", f"cell_{number}")
        return both if isinstance(self.layers[node], nn.LSTM) else both[:1]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for node in self.layers for name in self.names_of(node))

    def start(self, node: Node) -> tuple[Node, ...]:
        """What the layer begins with, as the whole model says; nothing: zeros."""
        if len(node.args) < 2 or node.args[1] is None:
            return ()
        argument: Any = node.args[1]
        return tuple(argument) if isinstance(argument, (tuple, list)) else (argument,)

    def begun_with(self, value: Node) -> set[Node]:
        """The layers that begin with `value`, and take it for nothing else."""
        return {n for n in self.layers if value in self.start(n) and n.args[0] is not value}


def _encoder(
    whole: GraphModule,
    source: Node,
    needed: Mapping[str, Node],
    states: _States,
    late: set[Node],
) -> GraphModule:
    graph = Graph()
    copies: dict[Node, Node] = {}
    for node in whole.graph.nodes:
        if node not in late and node.op != "output":
            copies[node] = graph.node_copy(node, lambda old: copies[old])
    outputs = {name: copies[node] for name, node in needed.items()}
    for node, layer in states.layers.items():
        names, start = states.names_of(node), states.start(node)
        if late.intersection(start):
            what = f"the state that {node.target} begins with depends on the words of {TARGET}"
            raise ModelError(what)
        values = [copies[value] for value in start] or [
            graph.call_function(_zeros, (copies[source], _depth(layer), layer.hidden_size))
            for _ in names
        ]
        for name, value in zip(names, values, strict=True):
            # Samples come first in all that goes from part to part.
            outputs[name] = graph.call_method("transpose", (value, 0, 1))
    graph.output(outputs)
    return _module(whole, graph)


def _step(
    whole: GraphModule,
    target: Node,
    needed: Mapping[str, Node],
    states: _States,
    early: set[Node],
) -> GraphModule:
    graph = Graph()
    copies: dict[Node, Node] = {target: graph.placeholder(TOKEN)}
    copies |= {node: graph.placeholder(name) for name, node in needed.items()}
    before = {name: graph.placeholder(name) for name in states.names}
    outputs: dict[str, Node] = {}
    for node in whole.graph.nodes:
        if node.op == "output":
            outputs[LOGITS] = copies[node.args[0]]
        elif node in states.layers:
            names = states.names_of(node)
            start = [graph.call_method("transpose", (before[name], 0, 1)) for name in names]
            state: Any = start[0] if len(names) == 1 else tuple(start)
            call = graph.call_module(str(node.target), (copies[node.args[0]], state))
            copies[node] = call
            outputs |= _after(graph, call, names)
        elif node not in early and node not in copies:
            copies[node] = graph.node_copy(node, lambda old: copies[old])
    graph.output(outputs)
    return _module(whole, graph)


def _after(graph: Graph, call: Node, names: Sequence[str]) -> dict[str, Node]:
    """What a recurrent layer remembers behind the step, by name."""
    final = graph.call_function(operator.getitem, (call, 1))
    is_one = len(names) == 1
    parts = (
        [final]
        if is_one
        else [
            graph.call_function(operator.getitem, (final, 0)),
            graph.call_function(operator.getitem, (final, 1)),
        ]
    )
    return {
        name: graph.call_method("transpose", (part, 0, 1))
        for name, part in zip(names, parts, strict=True)
    }


def _module(whole: GraphModule, graph: Graph) -> GraphModule:
    module = GraphModule(whole, graph)
    module.training = whole.training
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _zeros(source: Tensor, depth: int, hidden: int) -> Tensor:
    return torch.zeros(depth, len(source), hidden, device=source.device)


def _depth(layer: nn.RNNBase) -> int:
    return layer.num_layers * (2 if layer.bidirectional else 1)
