"""The precision that two forms of a model are compared in: double, wherever the model allows it.

In double precision what is left of a difference is an error and not rounding. A forward that says
`x.float()` would meet double weights there with single inputs, so the casts that it names are
widened too. Where it still fails, or computes something else (it looks at a number's bits), the
comparison is made in the precision that the model has, and allows for rounding.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch.fx.node import map_aggregate

from edgespiral.core.errors import ModelError
from edgespiral.core.nested import leaves, mapped, plain, template
from edgespiral.models.calling import positional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.nested import Tensors

NARROW = (torch.float32, torch.float16, torch.bfloat16)
CASTS = ("float", "half", "bfloat16")
# What names a tensor's type as text: legacy `x.type("torch.FloatTensor")`.
NARROW_TEXT = ("torch.FloatTensor", "torch.HalfTensor", "torch.BFloat16Tensor")


@dataclass(frozen=True)
class Arithmetic:
    """Double precision, or the model's own.

    `tolerance` is what a difference may be of the largest output.
    """

    double: bool
    tolerance: float

    def model(self, model: GraphModule) -> GraphModule:
        """A copy of `model` in eval mode that computes in this precision."""
        return in_double(model) if self.double else copy.deepcopy(model).eval()

    def inputs(self, inputs: Tensors) -> Tensors:
        """`inputs` in this precision; token ids stay whole numbers."""

        def wide(leaf: Tensor) -> Tensor:
            return leaf.double() if self.double and leaf.is_floating_point() else leaf

        return mapped(wide, inputs)

    def run(self, interpreter: torch.fx.Interpreter, inputs: Tensors) -> Tensors:
        """What a traced model that is run node by node says in this precision."""
        arguments = positional(interpreter.graph, self.inputs(inputs))
        return plain(interpreter.run(*arguments))

    @contextmanager
    def computing(self) -> Iterator[None]:
        """No gradients are kept, and tensors made without a type are of this precision."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64 if self.double else before)
        try:
            with torch.no_grad():
                yield
        finally:
            torch.set_default_dtype(before)


# Right cuts differ by 1e-14 in double precision and by 1e-6 in single, and wrong ones by as little
# as a thousandth.
DOUBLE, SINGLE = Arithmetic(double=True, tolerance=1e-6), Arithmetic(double=False, tolerance=1e-4)
# Of the largest output: rounding alone is far below.
SAME_FUNCTION = 1e-2


def arithmetic_for(model: GraphModule, inputs: Tensors) -> Arithmetic:
    """`DOUBLE` if `model` computes the same function in double precision, else `SINGLE`.

    Raises:
        ModelError: it does not return tensors.
    """
    single = _outputs(model, inputs, SINGLE)
    try:
        double = _outputs(model, inputs, DOUBLE)
    except ModelError:
        raise
    except Exception:  # two precisions met in the middle of a forward
        return SINGLE
    if template(double) != template(single):
        return SINGLE
    pairs = zip(leaves(double).values(), leaves(single).values(), strict=True)
    return DOUBLE if all(_are_close(*pair) for pair in pairs) else SINGLE


def _are_close(double: Tensor, single: Tensor) -> bool:
    if double.shape != single.shape:
        return False
    wide = single.double()
    largest = float(wide.abs().max()) if wide.numel() else 0.0
    return torch.allclose(double.double(), wide, 0, SAME_FUNCTION * largest)


def in_double(model: GraphModule) -> GraphModule:
    """A copy of `model` in eval mode whose weights, buffers and named casts are double."""
    wide = copy.deepcopy(model).eval().double()
    for node in wide.graph.nodes:
        if node.op == "call_method" and node.target in CASTS:
            node.target = "double"
        elif node.op in ("call_method", "call_function") and node.target != "view":
            node.args = map_aggregate(node.args, _widened)
            node.kwargs = map_aggregate(node.kwargs, _widened)
    wide.recompile()
    return wide


def _outputs(model: GraphModule, inputs: Tensors, arithmetic: Arithmetic) -> Tensors:
    with arithmetic.computing():
        outputs = arithmetic.run(torch.fx.Interpreter(arithmetic.model(model)), inputs)
    ends = leaves(outputs).values()
    odd = next((leaf for leaf in ends if not isinstance(leaf, torch.Tensor)), None)
    if odd is not None or not ends:
        raise ModelError(f"the model returns a {type(odd).__name__}, not tensors")
    return outputs


def _widened(argument: Any) -> Any:  # noqa: ANN401
    if isinstance(argument, torch.dtype) and argument in NARROW:
        return torch.float64
    if isinstance(argument, str) and argument in NARROW_TEXT:
        return "torch.DoubleTensor"
    return argument
