"""Stacked recurrent layers taken apart, so that each may have a width of its own.

`nn.LSTM` and its like have one `hidden_size` for all the layers of a stack. A stack in which every
layer has its own is a chain of modules of one layer each, and that is also what its ONNX form is:
one operator a layer.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)
RECURRENT_LAYERS = "recurrent layers"


def recurrent_layers(model: nn.Module) -> dict[str, nn.LSTM | nn.GRU | nn.RNN]:
    """The LSTM, GRU and RNN modules of `model` by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, RECURRENT)}


def directions(layer: nn.RNNBase) -> int:
    """1, or 2 for a bidirectional layer."""
    return 2 if layer.bidirectional else 1


def gates(layer: nn.RNNBase) -> int:
    """How many rows of each of its matrices a hidden unit has.

    Example:
        >>> gates(nn.LSTM(3, 5))
        4
    """
    return len(layer.get_parameter("weight_hh_l0")) // layer.hidden_size


def unstacked(model: GraphModule) -> GraphModule:
    """`model`, in which modules of one layer each stand in for every stack of recurrent layers.

    A stack at `path` becomes `path.l0`, `path.l1` and so on, with the same parameters, and dropout
    between them where the stack has it. Stacks with projections, with an initial state or whose
    outputs are not taken apart by index stay, and so does a model without stacks.
    """
    calls = _calls(model)
    unbroken = {str(node.target) for node in calls if not _can_be_rewired(model, node)}
    stacks = [n for n in calls if _layer(model, n).num_layers > 1 and str(n.target) not in unbroken]
    if stacks:
        layers = {str(node.target): _layer(model, node) for node in stacks}
        for name, stack in layers.items():
            model.set_submodule(name, _chain(stack))
        for node in stacks:
            _rewire(node, layers[str(node.target)])
        model.graph.eliminate_dead_code()
        model.graph.lint()
        model.recompile()
    return model


def _can_be_rewired(model: GraphModule, node: Node) -> bool:
    layer = _layer(model, node)
    is_unpacked = all(user.target is operator.getitem for user in node.users)
    pairs = [u for u in node.users if isinstance(layer, nn.LSTM) and u.args[1:] == (1,)]
    named = all(isinstance(u.args[-1], int) for pair in pairs for u in pair.users)
    return is_unpacked and named and len(node.all_input_nodes) == 1 and not layer.proj_size


def _calls(model: GraphModule) -> list[Node]:
    layers = recurrent_layers(model)
    return [n for n in model.graph.nodes if n.op == "call_module" and n.target in layers]


def _layer(model: GraphModule, node: Node) -> nn.RNNBase:
    layer = model.get_submodule(str(node.target))
    assert isinstance(layer, nn.RNNBase)
    return layer


def _chain(stack: nn.RNNBase) -> nn.Module:
    chain = nn.Module()
    for depth in range(stack.num_layers):
        chain.add_module(f"l{depth}", _one_layer(stack, depth))
        if stack.dropout and depth + 1 < stack.num_layers:
            chain.add_module(f"dropout{depth}", nn.Dropout(stack.dropout))
    return chain.train(stack.training)


def _one_layer(stack: nn.RNNBase, depth: int) -> nn.RNNBase:
    kind: Any = type(stack)  # the base's signature begins with the mode, its children's do not
    own = {"nonlinearity": stack.nonlinearity} if isinstance(stack, nn.RNN) else {}
    single: nn.RNNBase = kind(
        stack.hidden_size * directions(stack) if depth else stack.input_size,
        stack.hidden_size,
        bias=stack.bias,
        batch_first=stack.batch_first,
        bidirectional=stack.bidirectional,
        device="meta",
        **own,
    )
    for name, _ in list(single.named_parameters()):
        setattr(single, name, getattr(stack, name.replace("_l0", f"_l{depth}")))
    return single


def _rewire(node: Node, stack: nn.RNNBase) -> None:
    """Calls of the chain's layers in place of the stack's, and their states to who read them."""
    graph, path = node.graph, str(node.target)
    source = node.all_input_nodes[0]
    layers: list[Node] = []
    with graph.inserting_before(node):
        for depth in range(stack.num_layers):
            layers.append(graph.call_module(f"{path}.l{depth}", (source,)))
            source = graph.call_function(operator.getitem, (layers[-1], 0))
            if stack.dropout and depth + 1 < stack.num_layers:
                source = graph.call_module(f"{path}.dropout{depth}", (source,))
    for user in list(node.users):
        if user.args[1] == 0:
            user.replace_all_uses_with(source)
        elif isinstance(stack, nn.LSTM):
            _rewire_pair(user, layers, directions(stack))
        else:
            _rewire_state(user, layers, (1,), directions(stack))


def _rewire_pair(pair: Node, layers: list[Node], runs: int) -> None:
    for user in list(pair.users):
        assert isinstance(user.args[1], int)
        _rewire_state(user, layers, (1, user.args[1]), runs)


def _rewire_state(state: Node, layers: list[Node], path: tuple[int, ...], runs: int) -> None:
    """Give each reader of a final state (layers * directions, N, hidden) what it reads of it."""
    graph = state.graph
    with graph.inserting_before(state):
        parts = [_item(layer, path) for layer in layers]
        whole = graph.call_function(torch.cat, (parts, 0))
    for user in list(state.users):
        index = user.args[1] if user.target is operator.getitem else None
        if isinstance(index, int):
            depth, run = divmod(index % (len(layers) * runs), runs)
            with graph.inserting_before(user):
                user.replace_all_uses_with(
                    graph.call_function(operator.getitem, (parts[depth], run))
                )
        elif isinstance(index, slice) and len(read := _layers_read(index, len(layers), runs)) == 1:
            user.replace_all_uses_with(parts[read.pop()])
    state.replace_all_uses_with(whole)


def _item(node: Node, path: tuple[int, ...]) -> Node:
    for index in path:
        node = node.graph.call_function(operator.getitem, (node, index))
    return node


def _layers_read(index: slice, layers: int, runs: int) -> set[int]:
    """Depths of which a slice of the final states takes every direction, or several in part."""
    read = range(layers * runs)[index]
    depths = {position // runs for position in read}
    whole = len(read) == runs and read.step == 1
    return depths if whole else {-1, -2}
