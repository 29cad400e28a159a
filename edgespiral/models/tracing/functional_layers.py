"""Layers in place of the functions that a traced forward calls on its own parameters.

A subclass of a layer whose forward is its own (a convolution that pads, a batch norm that
activates) is traced into, and what is left of it is a function of parameters, such as
`F.conv2d(x, weight)`. Such a call is the layer of `torch.nn` that computes it, so it becomes one,
at the place and under the parameter names of the module it came from. What else the class does
stays in the graph. What was a buffer is the layer's parameter, which no training changes.
A batch norm or dropout whose `training` the trace fixed trains again as the layer.
"""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.fx
from torch import nn
from torch.nn import functional as F

from edgespiral.models.fixed import fix
from edgespiral.models.tracing.layer_places import free_name, place_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor
    from torch.fx import GraphModule, Node

CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
TRANSPOSED = (
    "input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation",
)  # fmt: skip
DROPOUT = ("input", "p", "training", "inplace")
SIGNATURES: dict[Any, tuple[str, ...]] = {
    F.linear: ("input", "weight", "bias"),
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), CONVOLUTION),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), TRANSPOSED),
    F.batch_norm: (
        "input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps",
    ),
    F.instance_norm: (
        "input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum",
        "eps",
    ),
    F.layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
    F.group_norm: ("input", "num_groups", "weight", "bias", "eps"),
    F.rms_norm: ("input", "normalized_shape", "weight", "eps"),
    F.prelu: ("input", "weight"),
    F.embedding: (
        "input", "weight", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse",
    ),
}  # fmt: skip
DROPOUTS: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout, F.dropout1d: nn.Dropout1d, F.dropout2d: nn.Dropout2d,
    F.dropout3d: nn.Dropout3d, F.alpha_dropout: nn.AlphaDropout,
    F.feature_alpha_dropout: nn.FeatureAlphaDropout,
}  # fmt: skip
ADDING = (torch.addmm, "addmm")
PRODUCTS = (torch.matmul, operator.matmul, torch.mm, "matmul", "mm", "__matmul__", *ADDING)
TENSORS = ("weight", "bias", "running_mean", "running_var")
CONVOLUTIONS: dict[Any, type[nn.Module]] = {
    F.conv1d: nn.Conv1d, F.conv2d: nn.Conv2d, F.conv3d: nn.Conv3d,
    F.conv_transpose1d: nn.ConvTranspose1d, F.conv_transpose2d: nn.ConvTranspose2d,
    F.conv_transpose3d: nn.ConvTranspose3d,
}  # fmt: skip
NORMS: dict[Any, tuple[type[nn.Module], ...]] = {
    F.batch_norm: (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    F.instance_norm: (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
}


@dataclass(frozen=True)
class _Call:
    """A call of a function of `SIGNATURES`.

    Attributes:
        node: the call.
        options: its plain arguments by name.
        tensors: its parameters and buffers by the layer's names for them; None for those left out.
        made_of: the parameters that each is computed from; those of none are constants.
        path: the module that they come from, "" for the model itself or if there is no such.
        owner: that module as the user wrote it, with options that only it knows.
    """

    node: Node
    options: Mapping[str, Any]
    tensors: Mapping[str, Tensor | None]
    made_of: Mapping[str, Sequence[nn.Parameter]]
    path: str
    owner: nn.Module

    def size(self, dim: int) -> int:
        """Size of the weight along a dimension."""
        weight = self.tensors["weight"]
        assert weight is not None
        return int(weight.shape[dim])


def restore_layers(graph: GraphModule, model: nn.Module) -> None:
    """Make layers, in place, of the calls of functions in `graph` that are layers.

    Weights that are computed from parameters alone, such as standardised ones, are computed once.

    Args:
        graph: `model` traced in eval mode; its layers may be copies, its tensors are the model's.
        model: what was traced.
    """
    _write_products(graph)
    for node in list(graph.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in DROPOUTS:
            _restore_dropout(graph, node)
        elif node.target in SIGNATURES and (call := _call_of(graph, model, node)) is not None:
            layer = _layer(call)
            if layer is not None:
                _replace(graph, node, place_layer(graph, layer, call.path, call.node.name))
    graph.graph.lint()
    graph.recompile()


def _write_products(graph: GraphModule) -> None:
    """Put `F.linear` in place of products with a parameter that nothing else reads."""
    weights = _matrices_read_once(graph)
    for node in list(graph.graph.nodes):
        is_call = node.op in ("call_function", "call_method") and not node.kwargs
        if not is_call or node.target not in PRODUCTS:
            continue
        *bias, left, right = cast("Any", node.args)
        if len(bias) != (node.target in ADDING) or (left in weights) == (right in weights):
            continue
        values, weight = (right, left) if left in weights else (left, right)
        if isinstance(values, torch.fx.Node) and _sees_input(values):
            _write_product(graph.graph, node, values, weight, bias)


def _matrices_read_once(graph: GraphModule) -> frozenset[Node]:
    """The parameters of two dimensions that one node reads, and no layer."""
    reads = graph.graph.find_nodes(op="get_attr")
    uses = Counter(str(node.target) for node in reads for _ in node.users)
    called = {str(node.target) for node in graph.graph.find_nodes(op="call_module")}

    def is_such(node: Node) -> bool:
        path, value = str(node.target), _value(graph, node)
        is_alone = uses[path] == 1 and path.rpartition(".")[0] not in called
        return is_alone and isinstance(value, nn.Parameter) and value.dim() == 2

    return frozenset(filter(is_such, reads))


def _write_product(
    graph: torch.fx.Graph, node: Node, values: Node, parameter: Node, bias: Sequence[Any]
) -> None:
    is_first = node.args[-1] is values
    with graph.inserting_before(node):
        weight = parameter if is_first else graph.call_method("t", (parameter,))
        rows = graph.call_method("transpose", (values, -1, -2)) if is_first else values
        new = graph.call_function(F.linear, (rows, weight, *bias))
        result = graph.call_method("transpose", (new, -1, -2)) if is_first else new
    new.meta = dict(node.meta)
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _call_of(graph: GraphModule, model: nn.Module, node: Node) -> _Call | None:
    """What a call is made of, if nothing but its input depends on the model's inputs."""
    named = dict(zip(SIGNATURES[node.target], node.args, strict=False)) | node.kwargs
    source = named.pop("input", None)
    tensors = {name: named.pop(name, None) for name in TENSORS}
    nodes = [n for n in tensors.values() if isinstance(n, torch.fx.Node)]
    computed_options = [n for value in named.values() for n in _nodes_in(value)]
    if not isinstance(source, torch.fx.Node) or computed_options or any(map(_sees_input, nodes)):
        return None
    path = _origin(tensors["weight"], node)
    try:
        owner = model.get_submodule(path)
    except AttributeError:
        owner = model  # a parameter by another name than a layer's has a place of its own
    with torch.no_grad():
        values = {name: _value(graph, value) for name, value in tensors.items()}
    made_of = {name: _parameters(graph, value) for name, value in tensors.items()}
    return _Call(node, {k: _plain(v) for k, v in named.items()}, values, made_of, path, owner)


def _nodes_in(tree: Any) -> list[Node]:  # noqa: ANN401
    nodes: list[Node] = []
    torch.fx.node.map_arg(tree, nodes.append)
    return nodes


def _plain(value: Any) -> Any:  # noqa: ANN401
    return tuple(value) if isinstance(value, list | tuple) else value


def _sees_input(node: Node) -> bool:
    waiting, seen = [node], set()
    while waiting:
        here = waiting.pop()
        if here.op == "placeholder" or (here.op == "call_module" and here is not node):
            return True
        seen.add(here)
        waiting += [n for n in here.all_input_nodes if n not in seen]
    return False


def _parameters(graph: GraphModule, value: object) -> list[nn.Parameter]:
    """Those that a tensor is made of."""
    if not isinstance(value, torch.fx.Node):
        return []
    if value.op == "get_attr":
        tensor = _value(graph, value)
        return [tensor] if isinstance(tensor, nn.Parameter) else []
    return [each for part in value.all_input_nodes for each in _parameters(graph, part)]


def _origin(weight: object, node: Node) -> str:
    """The module that a call's weight is a parameter of, or that makes the call."""
    if isinstance(weight, torch.fx.Node) and weight.target == "t":
        (weight,) = weight.args
    if isinstance(weight, torch.fx.Node) and weight.op == "get_attr":
        path, _, name = str(weight.target).rpartition(".")
        return path if name == "weight" else str(weight.target)
    stack = node.meta.get("nn_module_stack") or {}
    return str(next(reversed(stack), "")) if weight is not None else ""


def _value(graph: GraphModule, tree: Any) -> Any:  # noqa: ANN401
    if not isinstance(tree, torch.fx.Node):
        return torch.fx.node.map_arg(tree, lambda n: _value(graph, n))
    if tree.op == "get_attr":
        return operator.attrgetter(str(tree.target))(graph)
    first, rest, target = _value(graph, tree.args[:1]), _value(graph, tree.args[1:]), tree.target
    named = _value(graph, tree.kwargs)
    if tree.op == "call_method":
        return getattr(first[0], str(target))(*rest, **named)
    assert callable(target)
    return target(*first, *rest, **named)


def _layer(call: _Call) -> nn.Module | None:
    """The layer that a call computes, with its parameters; None if there is none."""
    build = BUILDERS.get(call.node.target)
    with torch.device("meta"):
        layer = build(call) if build is not None else None
    if layer is None:
        return None
    for name in TENSORS:
        value = call.tensors[name]
        if value is not None:
            _own(layer, name, value, call.made_of[name])
        elif getattr(layer, name, None) is not None:
            _own(layer, name, torch.zeros(getattr(layer, name).shape), ())
    if getattr(layer, "num_batches_tracked", None) is not None:
        batches = getattr(call.owner, "num_batches_tracked", None)
        layer.num_batches_tracked = torch.tensor(0) if batches is None else batches
    return layer.eval()


def _own(layer: nn.Module, name: str, value: Tensor, made_of: Sequence[nn.Parameter]) -> None:
    if name.startswith("running") or isinstance(value, nn.Parameter):
        setattr(layer, name, value)
        return
    setattr(layer, name, nn.Parameter(value.clone(), any(p.requires_grad for p in made_of)))
    if not made_of:
        fix(layer, name)


def _linear(call: _Call) -> nn.Module | None:
    weight = call.tensors["weight"]
    if weight is None or weight.dim() != 2:
        return None
    return nn.Linear(call.size(1), call.size(0), bias=call.tensors["bias"] is not None)


def _convolution(call: _Call) -> nn.Module | None:
    kind: Any = CONVOLUTIONS[call.node.target]
    weight = call.tensors["weight"]
    if weight is None:
        return None
    first, second = call.size(0), call.size(1) * call.options.get("groups", 1)
    transposed = issubclass(kind, nn.modules.conv._ConvTransposeNd)
    inputs, outputs = (first, second) if transposed else (second, first)
    kernel, bias = tuple(weight.shape[2:]), call.tensors["bias"] is not None
    layer: nn.Module = kind(inputs, outputs, kernel, bias=bias, **call.options)
    return layer


def _channel_norm(call: _Call) -> nn.Module | None:
    """A batch or instance norm; its layer's rank is its owner's or its input's."""
    kinds = NORMS[call.node.target]
    kind: Any = next((k for k in kinds if isinstance(call.owner, k)), None)
    rank = _rank(call.node)
    if kind is None and rank is not None and rank - 3 < len(kinds):
        kind = kinds[max(rank - 3, 0)]
    sized = [t for t in call.tensors.values() if t is not None]
    tracks = call.tensors["running_mean"] is not None
    training = call.options.get("training", call.options.get("use_input_stats", True))
    if kind is None or not sized or (training and tracks):
        return None
    layer: nn.Module = kind(
        len(sized[0]),
        eps=call.options.get("eps", 1e-5),
        momentum=getattr(call.owner, "momentum", call.options.get("momentum", 0.1)),
        affine=call.tensors["weight"] is not None,
        track_running_stats=tracks,
    )
    return layer


def _rank(node: Node) -> int | None:
    """Dimensions of a call's input, as the layer before it tells."""
    ranks = ((nn.modules.conv._ConvNd, lambda layer: layer.weight.dim()), (nn.Linear, lambda _: 2))
    source: Any = node.args[0] if node.args else node.kwargs["input"]
    while isinstance(source, torch.fx.Node):
        tensor_meta = source.meta.get("tensor_meta")
        if tensor_meta is not None:
            return len(tensor_meta.shape)
        if source.op == "call_module":
            owner = source.graph.owning_module
            layer = owner and owner.get_submodule(str(source.target))
            for kind, rank in ranks:
                if isinstance(layer, kind):
                    return int(rank(layer))
        source = next(iter(source.all_input_nodes), None)
    return None


def _layer_norm(call: _Call) -> nn.Module | None:
    weight, bias = call.tensors["weight"], call.tensors["bias"]
    if weight is None and bias is not None:
        return None
    shape = call.options["normalized_shape"] if weight is None else tuple(weight.shape)
    affine, eps = weight is not None, call.options.get("eps", 1e-5)
    return nn.LayerNorm(shape, eps, elementwise_affine=affine, bias=bias is not None)


def _rms_norm(call: _Call) -> nn.Module | None:
    weight = call.tensors["weight"]
    shape = call.options["normalized_shape"] if weight is None else tuple(weight.shape)
    return nn.RMSNorm(shape, call.options.get("eps"), elementwise_affine=weight is not None)


def _group_norm(call: _Call) -> nn.Module | None:
    if call.tensors["weight"] is None:
        return None
    return nn.GroupNorm(call.options["num_groups"], call.size(0), call.options.get("eps", 1e-5))


def _prelu(call: _Call) -> nn.Module | None:
    return None if call.tensors["weight"] is None else nn.PReLU(call.tensors["weight"].numel())


def _embedding(call: _Call) -> nn.Module | None:
    weight = call.tensors["weight"]
    return None if weight is None else nn.Embedding(*weight.shape, **call.options)


BUILDERS: dict[Any, Callable[[_Call], nn.Module | None]] = {
    F.linear: _linear,
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(NORMS, _channel_norm),
    F.layer_norm: _layer_norm,
    F.rms_norm: _rms_norm,
    F.group_norm: _group_norm,
    F.prelu: _prelu,
    F.embedding: _embedding,
}


def _restore_dropout(graph: GraphModule, node: Node) -> None:
    named = dict(zip(DROPOUT, node.args, strict=False)) | node.kwargs
    rate, training = named.get("p", 0.5), named.get("training", True)
    if training is not False or not isinstance(rate, float | int) or not 0 < rate < 1:
        return
    path = free_name(graph, node.name)
    graph.add_submodule(path, DROPOUTS[node.target](rate).eval())
    _replace(graph, node, path)


def _replace(graph: GraphModule, node: Node, path: str) -> None:
    source: Any = node.args[0] if node.args else node.kwargs["input"]
    with graph.graph.inserting_before(node):
        new = graph.graph.call_module(path, (source,))
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    _erase_unread(node)


def _erase_unread(node: Node) -> None:
    """Erase a node without readers, and what then has none of what it read itself."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if not here.users and here in here.graph.nodes:
            waiting += [n for n in here.all_input_nodes if not _sees_input(n)]
            here.graph.erase_node(here)
