"""Whether a model answers the same when it is asked twice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.nested import leaves, mapped, shapes
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating
from edgespiral.prune.batch_axes import agree
from edgespiral.prune.engines.flow.places import described

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    from edgespiral.core.nested import Tensors

RANDOM = ("dropout", "bernoulli", "rand", "multinomial", "normal", "gumbel", "stochastic_depth")


@torch.no_grad()
def check_repeatable(model: GraphModule, example: Tensors) -> None:
    """Refuse a model whose outputs in eval mode are random: no cut of it could be proven.

    Args:
        model: the traced model.
        example: one input (1, ...).

    Raises:
        ModelError: two runs differ, or it does not run; the first random operation is named.
    """
    with evaluating(model):
        try:
            # Copies, as a forward may change its inputs.
            first, second = (call(model, mapped(torch.Tensor.clone, example)) for _ in range(2))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            what = f"it fails on an input of {shapes(example)}"
            raise ModelError(f"{what}: {reason}") from error
    drawn = [node for node in model.graph.nodes if _is_random(node)]
    same = partial(torch.allclose, rtol=0, atol=0, equal_nan=True) if drawn else agree
    pairs = zip(leaves(first).values(), leaves(second).values(), strict=True)
    if all(not isinstance(value, torch.Tensor) or same(value, other) for value, other in pairs):
        return
    place = f": {described(drawn[0], dict(model.named_modules()))}" if drawn else ""
    raise ModelError(
        f"its outputs are random in evaluation, too{place}",
        hint="draw nothing unless self.training is True; give dropout training=self.training",
    )


def _is_random(node: Node) -> bool:
    name = str(getattr(node.target, "__name__", node.target))
    training = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)
    is_call = node.op in ("call_function", "call_method")
    return is_call and training is not False and name.startswith(RANDOM)
