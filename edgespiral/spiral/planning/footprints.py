"""How large cuts are, against what they may be: predicted from widths, exact once one was built.

Parameters follow from the widths of the groups that a layer reads and makes. What groups do not
tell, such as the norm behind a branch that goes, is corrected by the cuts that were built last.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from edgespiral.core.records.footprint import Footprint
from edgespiral.core.records.widths import Widths
from edgespiral.models.work import parameter_count
from edgespiral.prune.unstack import RECURRENT
from edgespiral.spiral.planning.stepping.terms import LayerTerm, SizeTerms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch.fx import GraphModule

    from edgespiral.core.records.footprint import FootprintBudget
    from edgespiral.core.records.schema import Precision
    from edgespiral.prune.groups import ChannelGroup, Slot

# Of so many cuts that were built last, predictions are corrected by the median.
LAST_BUILT = 3
BYTES: Mapping[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}


class _Tensor(NamedTuple):
    """A parameter: how many values it has, and by which sides it shrinks, each once or twice."""

    values: int
    sides: tuple[Mapping[str, float], ...]


class ParameterCounts:
    """Predicts how many parameters a cut has.

    Args:
        model: the uncut one.
        groups: its groups.

    Attributes:
        base: their channels.
    """

    def __init__(self, model: GraphModule, groups: Sequence[ChannelGroup]) -> None:
        self.base = {group.name: group.channels for group in groups}
        written, read = _shares(groups, producers=True), _shares(groups, producers=False)
        self._tensors = [
            _Tensor(
                parameter.numel(), _sides(layer, own, written.get(name, {}), read.get(name, {}))
            )
            for name, layer in model.named_modules()
            if name in written or name in read
            for own, parameter in layer.named_parameters(recurse=False)
        ]
        self._rest = parameter_count(model) - sum(tensor.values for tensor in self._tensors)

    def at(self, widths: Mapping[str, int]) -> float:
        """Parameters at `widths`."""
        left = {name: widths[name] / channels for name, channels in self.base.items()}
        total = float(self._rest)
        for values, sides in self._tensors:
            rest = float(values)
            for side in sides:
                rest *= 1 - sum(share * (1 - left[group]) for group, share in side.items())
            total += rest
        return total

    def terms(self) -> tuple[list[LayerTerm], float]:
        """The same as a sum over tensors, and what is beside it."""
        layers = []
        for values, sides in self._tensors:
            written, *read = (
                {name: share / self.base[name] for name, share in side.items()} for side in sides
            )
            coefficients = (values, 0, 0, 0) if read else (0, 0, values, 0)
            layers.append(LayerTerm(1.0, 1.0, read[0] if read else {}, written, coefficients))
        return layers, float(self._rest)


@dataclass
class Footprints:
    """The sizes of cuts, held against a run's budgets of size.

    Attributes:
        base: the uncut model in the precision of students.
        written: the precision that their files are written in.
    """

    budgets: Sequence[FootprintBudget]
    counts: ParameterCounts
    base: Footprint
    written: Precision
    _built: dict[Widths, Footprint] = field(init=False, default_factory=dict)
    _corrections: deque[tuple[float, float]] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the uncut model, and without corrections."""
        self._built[self._base_widths] = self.base
        self._corrections = deque(maxlen=LAST_BUILT)

    def add(self, widths: Mapping[str, int], footprint: Footprint) -> None:
        """Take over what a cut that was built takes."""
        predicted = self._uncorrected(widths)
        ratios = (footprint.size_bytes / predicted[0], footprint.parameter_count / predicted[1])
        self._corrections.append(ratios)
        # The uncut model is what the run measures sizes from, so it stays as it was.
        if Widths(widths) != self._base_widths:
            self._built[Widths(widths)] = footprint

    def of(self, widths: Mapping[str, int]) -> Footprint:
        """What the cut to `widths` takes, as far as is known."""
        built = self._built.get(Widths(widths))
        if built is not None:
            return built
        predicted, correction = self._uncorrected(widths), self._correction
        size, count = (value * own for value, own in zip(predicted, correction, strict=True))
        return Footprint(size_bytes=max(1, round(size)), parameter_count=round(count))

    def share(self, widths: Mapping[str, int]) -> float:
        """What a cut takes over what it may, of the budget that it is furthest from."""
        footprint = self.of(widths)
        return max(budget.share(footprint) for budget in self.budgets)

    def terms(self, lead_ms: float, landing: float) -> list[SizeTerms]:
        """What `share` is the largest of, each told as `lead_ms` where it is as large as allowed.

        Args:
            lead_ms: that latency.
            landing: what it is told times of, within the budget.
        """
        layers, rest = self.counts.terms()
        each = BYTES[self.written]
        beside = self.base.size_bytes / each - self.base.parameter_count
        size, count = self._correction
        kinds = {"size": (each * size, rest + beside), "parameters": (count, rest)}
        scaled = ((budget.limit, *kinds[budget.kind]) for budget in self.budgets)
        return [
            SizeTerms(layers, constant, self.counts.base, 0, factor / limit, lead_ms, landing)
            for limit, factor, constant in scaled
        ]

    @property
    def _base_widths(self) -> Widths:
        return Widths(self.counts.base)

    @property
    def _correction(self) -> tuple[float, float]:
        """Of sizes and counts, by the cuts that were built last."""
        if not self._corrections:
            return 1.0, 1.0
        sizes, counts = zip(*self._corrections, strict=True)
        return median(sizes), median(counts)

    def furthest(self, widths: Mapping[str, int]) -> tuple[FootprintBudget, int]:
        """The budget that the cut to `widths` is furthest from, and what it takes of that."""
        footprint = self.of(widths)
        budget = max(self.budgets, key=lambda budget: budget.share(footprint))
        return budget, budget.value(footprint)

    def _uncorrected(self, widths: Mapping[str, int]) -> tuple[float, float]:
        count = max(1.0, self.counts.at(widths))
        removed = self.base.parameter_count - count
        return max(1.0, self.base.size_bytes - BYTES[self.written] * removed), count


def _shares(groups: Sequence[ChannelGroup], *, producers: bool) -> dict[str, dict[str, float]]:
    """By layer, what share of its outputs (or inputs) one whole group is."""
    shares: dict[str, dict[str, float]] = {}
    for group in groups:
        slots: Sequence[Slot] = group.producers if producers else group.consumers
        for slot in slots:
            share = float((slot.channel_of >= 0).float().mean())
            own = shares.setdefault(slot.layer, {})
            own[group.name] = own.get(group.name, 0.0) + share
    return shares


def _sides(
    layer: nn.Module, parameter: str, written: Mapping[str, float], read: Mapping[str, float]
) -> tuple[Mapping[str, float], ...]:
    """By which sides of its layer a parameter shrinks: what the layer makes, what it reads."""
    if isinstance(layer, RECURRENT) and parameter.startswith("weight_hh"):
        return written, written
    # Vectors go with what their layer makes; embeddings have one for each token.
    is_matrix = layer.get_parameter(parameter).dim() > 1 and not isinstance(layer, nn.Embedding)
    return (written, read) if is_matrix else (written,)
