"""What a model takes and returns, found by building it and running a sample through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from edgespiral.core.batches import DataSplits

# Sides of pictures that are tried where only the number of channels is known.
SIDES = (224, 32, 28, 64, 128, 299, 384, 512)
SHAPE_HINT = "say what an input is: --input-shape 3x224x224"


@dataclass(frozen=True)
class Form:
    """Sizes of one sample, without the batch.

    Attributes:
        inputs: of what a model takes, float32.
        outputs: of what it returns; of classes, their number comes first.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def classes(self) -> int:
        """How many outputs there are for a sample, or for a pixel."""
        return self.outputs[0]


def form_of(module: nn.Module, shape: tuple[int, ...] | None, where: str) -> Form:
    """What a model takes and returns, by a sample that is made up.

    Args:
        module: takes one float32 tensor.
        shape: of its input where it is known; else it follows from the first layer.
        where: the model's name, for errors.

    Raises:
        UsageError: the input's sizes cannot be told from the layers.
        ModelError: it fails on such an input, or returns something else than classes.
    """
    failures: list[ModelError] = []
    for sizes in [shape] if shape else _shapes(module, where):
        try:
            return Form(sizes, _output_sizes(_outputs(module, sizes), where))
        except _FailsError as failure:
            failures.append(ModelError(failure.what, where=where, hint=SHAPE_HINT))
    raise failures[0]


class _FailsError(ModelError):
    """The model takes no such input."""


def _shapes(module: nn.Module, where: str) -> list[tuple[int, ...]]:
    """Inputs that the first weighted layer would take."""
    from torch import nn

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            return [(layer.in_channels, side, side) for side in SIDES]
        if isinstance(layer, nn.Linear):
            return [(layer.in_features,)]
        if next(layer.parameters(recurse=False), None) is not None:
            break
    raise UsageError("what an input of it is cannot be told", where=where, hint=SHAPE_HINT)


def _outputs(module: nn.Module, sizes: tuple[int, ...]) -> object:
    """What a model returns for two samples."""
    import torch

    from edgespiral.core.user_code import user_code
    from edgespiral.models.calling import called
    from edgespiral.models.example_inputs import example_input
    from edgespiral.models.modes import evaluating

    inputs = example_input(sizes).expand(2, *sizes)
    failed = f"fails on inputs of {'x'.join(map(str, sizes))}"
    with user_code(_FailsError, failed), torch.no_grad(), evaluating(module):
        outputs: object = called(module, inputs)
    return outputs


def _output_sizes(outputs: object, where: str) -> tuple[int, ...]:
    import torch

    if isinstance(outputs, torch.Tensor) and outputs.ndim in (2, 4) and len(outputs) == 2:
        return tuple(outputs.shape[1:])
    what = f"a tensor {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else None
    raise ModelError(
        f"returns {what or f'a {type(outputs).__name__}'}, and not a class a sample or a pixel, so "
        "what data it needs cannot be told",
        where=where,
        hint="name the data: --data data.py:load, as in docs/data.md",
    )


def facts_of(splits: DataSplits) -> Form | None:
    """What a classifier of the data takes and returns; None where they are of other forms."""
    is_plain = splits.inputs is None and splits.token_count is None and bool(splits.class_names)
    if not is_plain or splits.target_shape is None:
        return None
    classes = len(splits.class_names)
    return Form(splits.input_shape, (classes, *splits.target_shape))


def layers_of(weights: Path) -> str:
    """The first and the last of a file's weights, for whoever is to write the network of them.

    Raises:
        ModelError: the file is missing, damaged, or has no weights.
    """
    from edgespiral.models.load import read_state

    state: dict[str, Tensor] = read_state(weights)
    several = [(name, tensor) for name, tensor in state.items() if tensor.ndim > 1]
    (first, start), (last, end) = several[0], several[-1]
    return f"from {first} {tuple(start.shape)} to {last} {tuple(end.shape)}"
