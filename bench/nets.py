"""Networks for benches, for a MODEL of the form bench/nets.py:NAME."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.models.zoo.mobilenet import mobilenetv2_small

if TYPE_CHECKING:
    from torch import nn


def mobilenet() -> nn.Module:
    """The zoo's MobileNetV2 with a stem of stride 2, cheap enough to be trained many times."""
    model = mobilenetv2_small(classes=10, channels=1)
    stem = model.get_submodule("0.0")
    stem.stride = (2, 2)  # type: ignore[assignment]
    return model
