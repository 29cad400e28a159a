"""Changes of one cut in pairs, with what each pair would take on the slowest device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edgespiral.spiral.planning.stepping.terms import LatencyTerms, LayerTerm

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Places = NDArray[np.intp]
    # What groups are set to, by their names; nothing for no change.
    Move = Mapping[str, int]


@dataclass(frozen=True)
class Moves:
    """Some changes of one cut.

    Attributes:
        widths: of the cut.
        moves: what each sets groups to.
    """

    widths: Mapping[str, int]
    moves: Sequence[Move]
    _by_group: dict[str, tuple[Places, Vector]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Sort the changes by the groups that they change."""
        entries: dict[str, tuple[list[int], list[int]]] = {}
        for place, move in enumerate(self.moves):
            for name, width in move.items():
                places, changes = entries.setdefault(name, ([], []))
                places.append(place)
                changes.append(width - self.widths[name])
        for name, (places, changes) in entries.items():
            self._by_group[name] = np.array(places), np.array(changes, dtype=np.float64)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.moves)

    def of_group(self, name: str) -> Places:
        """The places of those that say something of a group."""
        places, _ = self._by_group.get(name, (np.empty(0, dtype=np.intp), None))
        return places

    def of_layer(self, layer: LayerTerm) -> tuple[Places, Vector, Vector]:
        """The places of those that a layer sees, and its inputs and outputs more by each."""
        own = [self._by_group[name] for name in layer.groups if name in self._by_group]
        if not own:
            nothing: Vector = np.empty(0)
            return np.empty(0, dtype=np.intp), nothing, nothing
        seen = np.unique(np.concatenate([places for places, _ in own]))
        return (
            seen,
            self._more(seen, layer.cin_per_channel),
            self._more(seen, layer.cout_per_channel),
        )

    def _more(self, seen: Places, per_channel: Mapping[str, float]) -> Vector:
        """Channels that a side of a layer has more by each of the changes that are `seen`."""
        more: Vector = np.zeros(len(seen))
        for name, each in per_channel.items():
            if name in self._by_group:
                places, changes = self._by_group[name]
                more[np.searchsorted(seen, places)] += each * changes
        return more


def latencies_after_both(devices: Sequence[LatencyTerms], ups: Moves, downs: Moves) -> Matrix:
    """Milliseconds on the slowest device after one of `ups` and one of `downs`: (ups, downs).

    Both are of the same cut. Infinite where the two say something of the same group.
    """
    each_ms = [device.told_ms(_after_both(device, ups, downs)) for device in devices]
    slowest: Matrix = np.max(each_ms, axis=0)
    for name in ups.widths:
        slowest[np.ix_(ups.of_group(name), downs.of_group(name))] = np.inf
    return slowest


def _after_both(device: LatencyTerms, ups: Moves, downs: Moves) -> Matrix:
    total_ms, less = device.scale * device.constant_ms, device.less(ups.widths)
    up_ms, down_ms = np.zeros(len(ups)), np.zeros(len(downs))
    together: list[tuple[Places, Places, Matrix]] = []
    for layer in device.layers:
        cin, cout = layer.sides(less)
        present_ms = device.layer_ms(layer, cin, cout)
        total_ms += float(present_ms)
        rows, up_inputs, up_outputs = ups.of_layer(layer)
        columns, down_inputs, down_outputs = downs.of_layer(layer)
        up_only = device.layer_ms(layer, cin + up_inputs, cout + up_outputs) - present_ms
        down_only = device.layer_ms(layer, cin + down_inputs, cout + down_outputs) - present_ms
        up_ms[rows] += up_only
        down_ms[columns] += down_only
        if len(rows) and len(columns):
            both = device.layer_ms(
                layer,
                cin + up_inputs[:, None] + down_inputs[None, :],
                cout + up_outputs[:, None] + down_outputs[None, :],
            )
            beside = both - present_ms - up_only[:, None] - down_only[None, :]
            together.append((rows, columns, beside))
    matrix: Matrix = total_ms + up_ms[:, None] + down_ms[None, :]
    for rows, columns, beside in together:
        matrix[np.ix_(rows, columns)] += beside
    return matrix
