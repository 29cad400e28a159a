"""Going down step by step from a cut, each time by the cheapest change, with all of them known.

After a step only the layers that it changed are looked at anew, and of other groups only those that
such a layer knows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from edgespiral.core.records.widths import Widths
    from edgespiral.spiral.planning.stepping.choices import Choices, Step
    from edgespiral.spiral.planning.stepping.terms import LatencyTerms

    Vector = NDArray[np.float64]


class Descent:
    """A cut that becomes narrower, and what each single step from it would take and lose.

    Args:
        devices: the latency of each; the slowest decides.
        choice: the widths that may be chosen, and what they lose.
        widths: of the cut at first.
    """

    def __init__(self, devices: Sequence[LatencyTerms], choice: Choices, widths: Widths) -> None:
        self.widths, self._choice = widths, choice
        self._options = {name: np.array(o, dtype=float) for name, o in choice.options.items()}
        self._places, count = {}, 0
        for name, options in self._options.items():
            self._places[name] = slice(count, count + len(options))
            count += len(options)
        self._sizes = np.concatenate([*self._options.values()])
        self._lost = np.concatenate([self._losses_of(name) for name in self._options])
        self._present_sizes, self._present_lost = np.zeros((2, count))
        self._devices = [_OnDevice(d, self._options, self._places, widths) for d in devices]
        self._branches: dict[str, tuple[float, list[float]]] = {}
        self._set_present(widths)

    def cheapest(self, target_ms: float) -> Step | None:
        """The step that loses least for each millisecond that it saves; None if none saves any.

        What is saved beyond the target is worth nothing.
        """
        present_ms = max(float(device.told_ms(0.0)) for device in self._devices)
        after_ms = np.max([device.told_ms(device.beside_ms) for device in self._devices], axis=0)
        saved_ms = present_ms - np.maximum(after_ms, target_ms)
        of_use = (self._sizes < self._present_sizes) & (saved_ms > 0)
        prices = np.full(len(of_use), math.inf)
        prices[of_use] = (self._lost - self._present_lost)[of_use] / saved_ms[of_use]
        place = int(prices.argmin())
        best, step = float(prices[place]), self._step_at(place)
        for name, lost, beside_ms in self._branch_steps():
            told_ms = (d.told_ms(b) for d, b in zip(self._devices, beside_ms, strict=True))
            after = max(map(float, told_ms))
            saved = present_ms - max(after, target_ms)
            if saved > 0 and lost / saved < best:
                best, step = lost / saved, dict.fromkeys(self._choice.branches[name], 0)
        return step if best < math.inf else None

    def go(self, widths: Widths) -> None:
        """Take a step to some widths."""
        changed = {name for name, width in widths.items() if width != self.widths[name]}
        self.widths = widths
        self._set_present(changed)
        layers = [device.go(widths, changed) for device in self._devices]
        for name, groups in self._choice.branches.items():
            near = (d.knows(groups, own) for d, own in zip(self._devices, layers, strict=True))
            # Of branches around others the loss depends on what of these is left.
            if any(near) or not changed.isdisjoint(groups):
                self._branches.pop(name, None)

    def _set_present(self, names: Iterable[str]) -> None:
        for name in names:
            width, places = self.widths[name], self._places[name]
            self._present_sizes[places] = width
            self._present_lost[places] = self._choice.lost[name][width] if width else 0.0

    def _losses_of(self, name: str) -> Vector:
        lost = self._choice.lost.get(name, {})
        return np.array([lost[width] if width else 0.0 for width in self._choice.options[name]])

    def _step_at(self, place: int) -> Step:
        name = next(name for name, places in self._places.items() if place < places.stop)
        return {name: int(self._sizes[place])}

    def _branch_steps(self) -> Iterator[tuple[str, float, list[float]]]:
        """Of each branch that is there what it loses by going, and what each device then takes."""
        gone = self._choice.gone(self.widths)
        for name, groups in self._choice.branches.items():
            if name in gone:
                continue
            if name not in self._branches:
                step = dict.fromkeys(groups, 0)
                after = self._choice.total_lost(self.widths | step)
                lost = after - self._choice.total_lost(self.widths)
                self._branches[name] = (lost, [d.beside_of(step) for d in self._devices])
            yield name, *self._branches[name]


class _OnDevice:
    """What steps take on one device: `beside_ms` is what each option takes more than now."""

    def __init__(
        self,
        terms: LatencyTerms,
        options: Mapping[str, Vector],
        places: Mapping[str, slice],
        widths: Widths,
    ) -> None:
        self._terms, self._options, self._places, self._widths = terms, options, places, widths
        self._layers: dict[str, list[int]] = {name: [] for name in options}
        for index, layer in enumerate(terms.layers):
            for name in layer.groups:
                self._layers[name].append(index)
        self.beside_ms = np.zeros(sum(map(len, options.values())))
        self._present_ms = np.zeros(len(terms.layers))
        # Of each group a row for each of its layers.
        self._rows = {
            name: np.zeros((len(own), len(options[name]))) for name, own in self._layers.items()
        }
        self._look(range(len(terms.layers)))

    def told_ms(self, beside_ms: Vector | float) -> Vector:
        """What counts of the cut with so much beside what it takes now."""
        total_ms = self._terms.scale * self._terms.constant_ms + float(self._present_ms.sum())
        return self._terms.told_ms(np.asarray(total_ms + beside_ms))

    def go(self, widths: Widths, changed: set[str]) -> set[int]:
        """Be at other widths; the layers that these change."""
        self._widths = widths
        layers = {index for name in changed for index in self._layers[name]}
        self._look(layers)
        return layers

    def knows(self, groups: Sequence[str], layers: set[int]) -> bool:
        """Whether one of the layers is one of those that some groups decide."""
        return any(not layers.isdisjoint(self._layers[name]) for name in groups)

    def beside_of(self, step: Step) -> float:
        """What the cut takes more after a step."""
        less = self._terms.less(self._widths | step)
        layers = {index for name in step for index in self._layers[name]}
        return sum(
            float(self._terms.layer_ms(layer, *layer.sides(less))) - float(self._present_ms[index])
            for index, layer in ((index, self._terms.layers[index]) for index in sorted(layers))
        )

    def _look(self, layers: Iterable[int]) -> None:
        """Ask anew of some layers."""
        less = self._terms.less(self._widths)
        groups: set[str] = set()
        for index in layers:
            layer = self._terms.layers[index]
            cin, cout = layer.sides(less)
            present_ms = self._terms.layer_ms(layer, cin, cout)
            self._present_ms[index] = present_ms
            for name in layer.groups:
                more = self._options[name] - self._widths[name]
                inputs = cin + layer.cin_per_channel.get(name, 0.0) * more
                outputs = cout + layer.cout_per_channel.get(name, 0.0) * more
                row = self._layers[name].index(index)
                self._rows[name][row] = self._terms.layer_ms(layer, inputs, outputs) - present_ms
            groups.update(layer.groups)
        for name in groups:
            self.beside_ms[self._places[name]] = self._rows[name].sum(0)
