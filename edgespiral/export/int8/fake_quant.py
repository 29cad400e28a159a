"""A PyTorch model that rounds where its int8 file does, so that training sees the rounding.

The pairs of an int8 file are read from the file itself, with their scales and zero points, and
put behind the layers of the traced model that compute the same tensors. Tensors are matched by
their values on real samples, since names are the exporter's own. Rounding passes gradients straight
through inside its range (Bengio et al. 2013, section 3; Jacob et al. 2018, section 3), by PyTorch's
own `fake_quantize` operators.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from edgespiral.core.errors import ExportError
from edgespiral.export.file_model import FileModel
from edgespiral.export.graph import load_graph, tapped, weighted_layers
from edgespiral.models.calling import positional
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto
    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors
    from edgespiral.export.int8.calibration import Calibrated

BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
SAMPLES = 4
# Of the largest value: what two ways to sum in float32 may differ by.
TOLERANCE = 1e-3
WEIGHT_LEVELS = 127
NAME = "rounding"


class FakeQuantise(nn.Module):
    """A tensor through a pair's scale and zero point: any shape, to the same shape."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, scale: float, zero_point: int, ends: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("zero_point", torch.tensor(zero_point, dtype=torch.int32))
        self.ends = ends

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(
            inputs.float(), self.scale, self.zero_point, *self.ends
        )


class WeightRounding(nn.Module):
    """Weights to int8, symmetric, with one scale an output channel: (cout, ...) to the same."""

    def forward(self, weight: Tensor) -> Tensor:
        largest = weight.detach().abs().flatten(1).amax(1)
        scales = largest.clamp_min(torch.finfo(weight.dtype).tiny * WEIGHT_LEVELS) / WEIGHT_LEVELS
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(
            weight, scales, zeros, 0, -WEIGHT_LEVELS, WEIGHT_LEVELS
        )


@dataclass(frozen=True)
class _Pair:
    """Where an int8 file rounds: behind the tensor `name`."""

    name: str
    rounding: FakeQuantise


def folded(model: GraphModule) -> GraphModule:
    """A copy with batch norms inside the layers before them, where they are these layers' only use.

    The exporter folds them too, and weights are rounded as they are then.
    """
    graph: GraphModule = copy.deepcopy(model).eval()
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        before = node.args[0] if node.args else None
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, BATCHNORMS) or not isinstance(before, fx.Node):
            continue
        layer = modules.get(str(before.target)) if before.op == "call_module" else None
        if layer is None or len(before.users) > 1:
            continue
        if isinstance(layer, CONVOLUTIONS):
            fused: nn.Module = fuse_conv_bn_eval(layer, norm)
        elif isinstance(layer, nn.Linear):
            fused = fuse_linear_bn_eval(layer, norm)
        else:
            continue
        graph.set_submodule(str(before.target), fused)
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    graph.graph.lint()
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def add_rounding(model: GraphModule, calibrated: Calibrated, converted: Path) -> None:
    """Make `model` round, in place, wherever the int8 file `converted` does.

    Args:
        model: what `made.source` was exported from, its batch norms folded.

    Raises:
        ExportError: a tensor or a layer that the file rounds is not to be found in `model`.
    """
    samples = calibrated.samples.inputs[:: max(1, len(calibrated.samples.inputs) // SAMPLES)][
        :SAMPLES
    ]
    source, after = load_graph(calibrated.source), load_graph(converted)
    pairs = list(_pairs(after, str(converted)))
    layers = _rounded_layers(source, after)
    names = [*(pair.name for pair in pairs), *layers.values()]
    counterparts = _counterparts(model, source, names, samples, str(calibrated.source))
    modules = dict(model.named_modules())
    for layer, name in layers.items():
        module = modules.get(str(counterparts[name].target))
        if not isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            raise ExportError(f"{layer} is no layer whose weights can be rounded in training")
        parametrize.register_parametrization(module, "weight", WeightRounding())
    for number, pair in enumerate(pairs):
        _insert(model, counterparts[pair.name], f"{NAME}_{number}", pair.rounding)
    model.graph.lint()
    model.recompile()


def remove_rounding(model: GraphModule) -> None:
    """Undo `add_rounding`, in place; the weights are those that training has rounded from."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    for node in list(model.graph.nodes):
        if node.op == "call_module" and str(node.target).startswith(NAME):
            node.replace_all_uses_with(node.args[0])
            model.graph.erase_node(node)
    model.delete_all_unused_submodules()
    model.recompile()


def _pairs(model: ModelProto, where: str) -> Iterator[_Pair]:
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] in stored:
            continue
        scale, zero_point = stored[node.input[1]], stored[node.input[2]]
        if scale.size != 1:
            raise ExportError(f"rounds {node.input[0]} by channel", where=where)
        limits = np.iinfo(zero_point.dtype)
        ends = int(limits.min), int(limits.max)
        yield _Pair(node.input[0], FakeQuantise(scale.item(), int(zero_point), ends))


def _rounded_layers(source: ModelProto, after: ModelProto) -> dict[str, str]:
    """The output, in the float model, of each layer whose weights are rounded."""
    backs = {n.output[0] for n in after.graph.node if n.op_type == "DequantizeLinear"}
    theirs = {node.name: node for node in after.graph.node}
    return {
        node.name: node.output[0]
        for node in weighted_layers(source)
        if node.name in theirs and _reads(theirs[node.name], backs)
    }


def _reads(node: NodeProto, tensors: set[str]) -> bool:
    return len(node.input) > 1 and node.input[1] in tensors


def _counterparts(
    model: GraphModule,
    source: ModelProto,
    names: Sequence[str],
    samples: Sequence[Tensors],
    where: str,
) -> dict[str, Node]:
    """The first node of `model` that computes each of the float file's tensors `names`."""
    model_inputs = {value.name for value in source.graph.input}
    session = tapped(source, [name for name in names if name not in model_inputs], where)
    file = FileModel(session, where)
    with torch.no_grad(), evaluating(model):
        ours = [_Recorder(model).recorded(sample) for sample in samples]
    theirs = [file.values(sample) | file.feeds(sample) for sample in samples]
    return {name: _counterpart(name, ours, theirs, where) for name in dict.fromkeys(names)}


def _counterpart(
    name: str,
    ours: Sequence[Mapping[Node, Tensor]],
    theirs: Sequence[Mapping[str, NDArray[Any]]],
    where: str,
) -> Node:
    pairs = list(zip(ours, theirs, strict=True))
    for node in ours[0]:
        if all(_equal(mine[node], other[name]) for mine, other in pairs):
            return node
    raise ExportError(f"nothing in the PyTorch model computes {name}", where=where)


class _Recorder(fx.Interpreter):
    """Keeps what each node computes."""

    def recorded(self, sample: Tensors) -> Mapping[Node, Tensor]:
        self._values: dict[Node, Tensor] = {}
        self.run(*positional(self.graph, sample))
        return self._values

    def run_node(self, n: Node) -> Any:  # noqa: ANN401
        value = super().run_node(n)
        if isinstance(value, Tensor) and n.op != "output":
            # A layer that works in place would change what was kept.
            self._values[n] = value.clone()
        return value


def _equal(mine: Tensor, other: NDArray[Any]) -> bool:
    if tuple(mine.shape) != other.shape:
        return False
    values = mine.numpy()
    largest = float(np.abs(other).max(initial=0.0))
    with np.errstate(invalid="ignore"):  # infinities of a training gone wrong equal nothing
        return bool(np.abs(values - other).max(initial=0.0) <= TOLERANCE * largest)


def _insert(model: GraphModule, node: Node, name: str, rounding: FakeQuantise) -> None:
    model.add_submodule(name, rounding)
    with model.graph.inserting_after(node):
        rounded = model.graph.call_module(name, (node,))
    node.replace_all_uses_with(rounded, delete_user_cb=lambda user: user is not rounded)
