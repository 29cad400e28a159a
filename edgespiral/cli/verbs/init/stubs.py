"""The files that a newcomer fills in: model and data of the right shapes, which run as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from edgespiral.cli.verbs.init.model import Form

MODEL_STUB, DATA_STUB = "model.py", "data.py"
MAKE, LOAD = f"{MODEL_STUB}:make", f"{DATA_STUB}:load"
WEIGHTS = "weights.pt"

MODEL_TEXT = '''"""The network for `edgespiral compress`: put your own in place of this one.

{about}
"""

from torch import nn


def make() -> nn.Module:
    """The network without its training; the weights that plan.toml names are loaded into it.

    Takes (N, {inputs}) float32, returns (N, {outputs}): {meaning}.
    """
    return nn.Sequential(
{layers}
    )
'''

PIXELS = """\
        nn.Conv2d({channels}, 32, 3, padding=1, bias=False),
        *(nn.BatchNorm2d(32), nn.ReLU()),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        *(nn.BatchNorm2d(64), nn.ReLU()),
        nn.Conv2d(64, {classes}, 1),"""
PICTURES = """\
        nn.Conv2d({channels}, 32, 3, padding=1, bias=False),
        *(nn.BatchNorm2d(32), nn.ReLU()),
        nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),
        *(nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, {classes})),"""
ROWS = """\
        *(nn.Linear({channels}, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()),
        nn.Linear(64, {classes}),"""

DATA_TEXT = '''"""Data for `edgespiral compress`: put your own in place of what is made up here.

docs/data.md#your-own has all that `load` may return.
"""

import torch
from torch.utils.data import Dataset, TensorDataset

# One input of the model, without the batch, and how many classes it tells apart.
SHAPE = {shape}
CLASSES = {classes}


def load() -> dict[str, object]:
    """`train` teaches, `validation` steers the run, `test` is looked at once, at the end."""
    return {{
        "train": samples(512, seed=0),
        "validation": samples(128, seed=1),
        "test": samples(128, seed=2),
        "classes": [f"class {{number}}" for number in range(CLASSES)],
    }}


def samples(count: int, seed: int) -> Dataset:
    """Rows of (input float32 SHAPE, {target}); inputs as the model was trained with."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, *SHAPE, generator=generator)
    return TensorDataset(inputs, torch.randint(CLASSES, (count,{mask}), generator=generator))
'''


def model_text(form: Form, about: str) -> str:
    """`model.py`: a small network with the form's inputs and outputs.

    Args:
        form: what it takes and returns.
        about: a line for whoever fills it in.

    Raises:
        UsageError: of no form that a small network is written for.
    """
    is_pixels = len(form.outputs) == 3
    layers = {1: ROWS, 3: PIXELS if is_pixels else PICTURES}.get(len(form.inputs))
    if layers is None:
        raise UsageError(
            f"no {MODEL_STUB} can be written for inputs of {form.inputs}",
            where="MODEL",
            hint="name a model: net.py:make, or a name of docs/training.md",
        )
    return MODEL_TEXT.format(
        about=about,
        inputs=_listed(form.inputs),
        outputs=_listed(form.outputs),
        meaning="a number a class and pixel" if is_pixels else "a number a class",
        layers=layers.format(channels=form.inputs[0], classes=form.classes),
    )


def data_text(form: Form) -> str:
    """`data.py`: made-up samples of the form's inputs, with a class each, or a mask of classes."""
    sizes = form.outputs[1:]
    return DATA_TEXT.format(
        shape=form.inputs,
        classes=form.classes,
        target="mask of classes from 0 up" if sizes else "class from 0 up",
        mask=f" {_listed(sizes)}" if sizes else "",
    )


def _listed(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))
