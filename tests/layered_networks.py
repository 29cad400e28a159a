"""Small made-up networks whose latency is told by layers, and what may be chosen of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.spiral.planning.stepping.choices import Choices
from edgespiral.spiral.planning.stepping.terms import LatencyTerms, LayerTerm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASE = {"stem": 64, "in": 96, "out": 48, "alone": 80}
BRANCHES = {"block": ("in", "out")}


@dataclass(frozen=True)
class ByLayers:
    """Asked for one latency, by plain sums; and told in terms."""

    devices: Sequence[LatencyTerms]

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        return max(
            device.scale * device.constant_ms
            + sum(
                float(device.layer_ms(layer, *layer.sides(device.less(widths))))
                for layer in device.layers
            )
            for device in self.devices
        )

    def terms(self) -> Sequence[LatencyTerms]:
        return self.devices


@dataclass(frozen=True)
class OneByOne:
    """The same latency, which can only be asked for."""

    latency: ByLayers

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        return self.latency.predict_ms(widths)


def network(seed: int, devices: int = 1) -> tuple[Choices, ByLayers]:
    """Two layers read one group, one layer reads two, one is grouped, and a branch may go."""
    mixer = random.Random(seed)
    options = {name: tuple(range(16, channels + 1, 16)) for name, channels in BASE.items()}
    lost = {}
    for name, widths in options.items():
        steps = sorted((mixer.uniform(0.1, 3) for _ in widths[1:]), reverse=True)
        losses = [sum(steps[index:]) for index in range(len(widths))]
        lost[name] = dict(zip(widths, losses, strict=True))
    choice = Choices(options, lost, BRANCHES, {"block": mixer.uniform(1, 12)})
    sides: list[tuple[dict[str, float], dict[str, float]]] = [
        ({}, {"stem": 1.0}),
        ({"stem": 1.0}, {"in": 1.0}),
        ({"in": 1.0}, {"in": 1.0}),
        ({"in": 1.0}, {"out": 1.0}),
        ({"out": 2.0, "stem": 1.0}, {"alone": 1.0}),
        ({"alone": 4.0}, {}),
    ]

    def size(per_channel: dict[str, float]) -> float:
        return sum(BASE[name] * each for name, each in per_channel.items()) or 10.0

    return choice, ByLayers(
        [
            LatencyTerms(
                [
                    LayerTerm(
                        *(size(inputs), size(outputs), inputs, outputs),
                        [mixer.uniform(0, 1e-3), *(mixer.uniform(0, 1e-2) for _ in range(3))],
                    )
                    for inputs, outputs in sides
                ],
                *(0.5, BASE, 16, mixer.uniform(0.5, 2)),
            )
            for _ in range(devices)
        ]
    )
