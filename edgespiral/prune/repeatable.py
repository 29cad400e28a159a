"""Whether a model answers the same when it is asked twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.nested import leaves, shapes
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
            first, second = call(model, example), call(model, example)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            what = f"it fails on an input of {shapes(example)}"
            raise ModelError(f"{what}: {reason}") from error
    pairs = zip(leaves(first).values(), leaves(second).values(), strict=True)
    if all(not isinstance(value, torch.Tensor) or agree(value, other) for value, other in pairs):
        return
    modules = dict(model.named_modules())
    places = [described(node, modules) for node in model.graph.nodes if _is_random(node)]
    raise ModelError(
        "its outputs are random in evaluation, too" + (f": {places[0]}" if places else ""),
        hint="give dropout training=self.training",
    )


def _is_random(node: Node) -> bool:
    name = str(getattr(node.target, "__name__", node.target))
    training = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)
    return node.op == "call_function" and training is not False and name.startswith(RANDOM)
