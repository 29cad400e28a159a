"""Parameters that training leaves as they are: in the user's model they were none, but constants.

A layer that was made of a function of a buffer, such as a blur, or that stands for a sum has a
weight like any other, since engines cut layers. It is named in an attribute of the layer, which a
copy keeps and `model.py` writes; whether a parameter takes gradients does not tell, as that of a
model that was partly frozen says so of what a student trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

FIXED = "fixed_parameters"


def fix(layer: nn.Module, *names: str) -> None:
    """Have no training change these parameters of a layer."""
    for name in names:
        layer.get_parameter(name).requires_grad_(False)
    setattr(layer, FIXED, tuple(sorted({*fixed_names(layer), *names})))


def fixed_names(layer: nn.Module) -> tuple[str, ...]:
    """Those of a layer's parameters that stay, as seen from the layer."""
    return tuple(getattr(layer, FIXED, ()))


def train_all(model: nn.Module, like: nn.Module | None = None) -> None:
    """Have all parameters trained, frozen ones too, but not those that are fixed.

    Args:
        model: whose layers may be new ones.
        like: what it was cut from, under the same names, in place of its own layers' word.
    """
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    layers = dict(model.named_modules())
    for path, layer in (like or model).named_modules():
        if fixed_names(layer) and path in layers:
            fix(layers[path], *fixed_names(layer))


def train_like(model: nn.Module, like: nn.Module) -> None:
    """Have those parameters trained that are in another model, under the same names."""
    trained = {n: p.requires_grad for n, p in like.named_parameters(remove_duplicate=False)}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        parameter.requires_grad_(trained.get(name, parameter.requires_grad))
