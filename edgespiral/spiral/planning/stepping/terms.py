"""A predicted latency as a sum over layers, each of which knows few groups.

A change of one group's width changes the layers that it governs and no other. So what a thousand
changes of one cut would take is asked of those layers, for all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


@dataclass(frozen=True)
class LayerTerm:
    """One layer's time by its input and output channels.

    Attributes:
        cin, cout: of the whole model.
        cin_per_channel, cout_per_channel: positions that one channel of a group takes there.
        coefficients: milliseconds for each product of the two, each input, each output, and beside.
    """

    cin: float
    cout: float
    cin_per_channel: Mapping[str, float]
    cout_per_channel: Mapping[str, float]
    coefficients: Sequence[float]

    @property
    def groups(self) -> tuple[str, ...]:
        """Those that decide its time."""
        return tuple({**self.cin_per_channel, **self.cout_per_channel})

    def sides(self, less: Mapping[str, float]) -> tuple[float, float]:
        """Its input and output channels once groups have so many fewer than the whole model."""
        return (
            self.cin - sum(less[name] * each for name, each in self.cin_per_channel.items()),
            self.cout - sum(less[name] * each for name, each in self.cout_per_channel.items()),
        )


@dataclass(frozen=True)
class LatencyTerms:
    """A device's latency: `constant_ms` and that of its layers, all times `scale`.

    Attributes:
        base: widths of the whole model.
        multiple: that channels are rounded up to; 0 where they are not.
    """

    layers: Sequence[LayerTerm]
    constant_ms: float
    base: Mapping[str, int]
    multiple: int
    scale: float = 1.0

    def told_ms(self, total: Vector) -> Vector:
        """What counts of the sum over layers, of any shape."""
        return total

    def layer_ms(self, layer: LayerTerm, cin: Vector | float, cout: Vector | float) -> Vector:
        """A layer's time at so many channels, of any one shape; 0 where its branch is gone."""
        inputs, outputs = self._rounded(cin), self._rounded(cout)
        product, each_input, each_output, beside = layer.coefficients
        taken = product * inputs * outputs + each_input * inputs + each_output * outputs + beside
        present: Vector = np.where((inputs > 0) & (outputs > 0), self.scale * taken, 0.0)
        return present

    def _rounded(self, channels: Vector | float) -> Vector:
        exact: Vector = np.asarray(channels, dtype=np.float64)
        return self.multiple * np.ceil(exact / self.multiple) if self.multiple else exact

    def less(self, widths: Mapping[str, int]) -> dict[str, int]:
        """How many channels fewer each group has than in the whole model."""
        return {name: channels - widths[name] for name, channels in self.base.items()}


@dataclass(frozen=True)
class SizeTerms(LatencyTerms):
    """A size over what it may be, told as a latency: the sum over layers is that share.

    Attributes:
        lead_ms: what is as large as it may be would take.
        landing: of that, where it is within: a size is exact, and as large as it may be is well.
    """

    lead_ms: float = 1.0
    landing: float = 1.0

    def told_ms(self, total: Vector) -> Vector:
        """The share as milliseconds."""
        told: Vector = self.lead_ms * total * np.where(total <= 1, self.landing, 1.0)
        return told


@runtime_checkable
class InTerms(Protocol):
    """A latency that may be told in terms of layers."""

    def terms(self) -> Sequence[LatencyTerms] | None:
        """Of all that counts; the latency is the largest of theirs. None where it is not told."""
        ...
