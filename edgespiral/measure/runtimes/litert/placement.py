"""Which of a model's operators LiteRT's delegate runs, of what the agent hands on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgespiral.measure.runtimes.converting import require_layers_taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    Json = dict[str, Any]

DELEGATE = re.compile("delegate", re.IGNORECASE)
# What the delegate must run itself; all else is reshaping, splitting and the like.
HEAVY = re.compile("CONV|FULLY_CONNECTED|MATMUL|LSTM|RNN")
# A tensor is called after all that was folded into it, the layer with weights last.
LAYER = re.compile(r"torch\.nn\.modules\.\w+\.([^;/]+)")


def provider_of(models: Iterable[tuple[Path, Sequence[Json]]]) -> str:
    """Whose kernels run the models: `XNNPACK`, with what else runs some of their operators.

    Args:
        models: each with its operators, as `left_over` reads them.

    Raises:
        TargetError: the delegate leaves layers with weights of a model to other kernels.
    """
    kernels: set[str] = set()
    for model, operators in models:
        left = left_over(operators)
        require_no_layers(left, model, "XNNPACK")
        has_delegate = any(DELEGATE.search(entry["op_name"]) for entry in operators)
        kernels |= {"XNNPACK"} if has_delegate else set()
        kernels |= {"built-in"} if left else set()
    return " + ".join(sorted(kernels)) or "none"


def require_no_layers(left: Iterable[Json], model: Path, delegate: str) -> None:
    """Refuse a model of which a delegate leaves layers with weights to other kernels.

    Args:
        left: what it leaves, with `op_name` and the `name` of what it gives.
        model: that they are of.
        delegate: in words.

    Raises:
        TargetError: there are such layers; they are named.
    """
    named = ((_layer(entry["name"]), entry["op_name"]) for entry in left)
    require_layers_taken(named, HEAVY, model, delegate)


def left_over(operators: Sequence[Json]) -> list[Json]:
    """The operators that no delegate runs.

    Those that a delegate has taken over stay in LiteRT's list, with a node of the delegate's own
    behind them: it runs those by which its outputs come of its inputs.

    Args:
        operators: with `op_name` and the numbers of the tensors that are `inputs` and `outputs`.
    """
    own = [at for at, entry in enumerate(operators) if not DELEGATE.search(entry["op_name"])]
    maker = {place: at for at in own for place in operators[at]["outputs"]}
    delegated: set[int] = set()
    for entry in operators:
        if DELEGATE.search(entry["op_name"]):
            delegated |= _between(entry, operators, maker)
    return [operators[at] for at in own if at not in delegated]


def _layer(tensor: str) -> str:
    layers = LAYER.findall(tensor)
    return str(layers[-1]) if layers else tensor or "no name"


def _between(delegate: Json, operators: Sequence[Json], maker: dict[int, int]) -> set[int]:
    """Where the operators are by which a delegate's outputs come of its inputs."""
    inputs, wanted, places = set(delegate["inputs"]), list(delegate["outputs"]), set[int]()
    while wanted:
        at = maker.get(wanted.pop())
        if at is not None and at not in places:
            places.add(at)
            wanted += [place for place in operators[at]["inputs"] if place not in inputs]
    return places
