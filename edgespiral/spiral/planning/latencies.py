"""What is known of the latency of cuts, on one device or on several at once, and of their size.

Several budgets are one to the planner: a cut's latency is in the first device's time, and is that
of the budget that it is furthest from, `max(latency / budget)` times the first's budget. So a cut
within the target is within the same share of every budget, of latencies and of sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgespiral.spiral.planning.latency_model import LatencyModel, WidthTotal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgespiral.core.records.footprint import Footprint
    from edgespiral.core.records.measurement import (
        LayerLatency,
    )
    from edgespiral.core.records.widths import Widths
    from edgespiral.spiral.planning.footprints import Footprints
    from edgespiral.spiral.planning.latency_model import LayerShape
    from edgespiral.spiral.planning.stepping.terms import LatencyTerms

NEAREST = 3
# Landing window as shares of the target: the upper end leaves room for the error of a quick
# measurement, so that the longer one after training does not fall on the wrong side.
LANDING_LOW, LANDING_HIGH = 0.935, 0.98


@dataclass(frozen=True)
class Device:
    """One device of a run.

    Attributes:
        teacher_ms: the uncut model as it is measured against, which speed-ups are over.
        budget_ms: what a cut may take; where no latency is asked for, of the first device the
            planner's unit of time, which no cut is held against.
        multiple: its channel multiple.
        start_ms: the uncut model in the precision of the run's students.
    """

    target: str
    teacher_ms: float
    budget_ms: float
    multiple: int
    start_ms: float
    is_budgeted: bool = True

    @property
    def precision_share(self) -> float:
        """What the students' precision takes of the teacher's time, for the uncut model.

        Profiles of int8 models do not tell the layers' shapes, so layers are profiled in fp32 and
        scaled; whole models, which weigh far more in the fit, are measured in the precision.
        """
        return self.start_ms / self.teacher_ms


@dataclass
class Latencies:
    """Measured and predicted latencies on `devices` of cuts of the model with `layers`.

    With `footprints`, sizes are held against their budgets as latencies are.
    """

    devices: Sequence[Device]
    layers: Sequence[LayerShape]
    base_widths: Widths
    footprints: Footprints | None = None
    measured: dict[Widths, float] = field(init=False, default_factory=dict)
    _models: list[LatencyModel] = field(init=False)
    _own_ms: list[dict[Widths, float]] = field(init=False)
    _profiled: list[list[LayerLatency]] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with what is known of the uncut model."""
        self._models = [
            LatencyModel(self.layers, self.base_widths, device.multiple) for device in self.devices
        ]
        self._own_ms = [{} for _ in self.devices]
        self._profiled = [[] for _ in self.devices]
        self._add(self.base_widths, [device.start_ms for device in self.devices])

    @property
    def step(self) -> int:
        """The least step of widths that is whole in every device's channel multiple."""
        return math.lcm(*(device.multiple for device in self.devices))

    def add(
        self,
        widths: Widths,
        speedups: Sequence[float],
        footprint: Footprint | None = None,
    ) -> None:
        """Take over measurements in pairs with the teacher, one a device, and the cut's size."""
        if self.footprints is not None and footprint is not None:
            self.footprints.add(widths, footprint)
        self._add(widths, self._times(speedups))

    def of_speedups(self, widths: Mapping[str, int], speedups: Sequence[float]) -> float:
        """The latency of the cut to `widths` with speed-ups over the teacher, one a device."""
        return self.worst_ms(widths, self._times(speedups))

    def _times(self, speedups: Sequence[float]) -> list[float]:
        return [
            device.teacher_ms / speedup
            for device, speedup in zip(self.devices, speedups, strict=True)
        ]

    def forget(self, cuts: Iterable[Widths]) -> None:
        """Drop what was taken for measured."""
        for widths in cuts:
            del self.measured[widths]
            for own in self._own_ms:
                del own[widths]

    def add_layers(self, profiles: Iterable[Sequence[LayerLatency]]) -> int:
        """Take over layers' times, one sequence of them a device; return how many are of use."""
        added = 0
        for index, rows in enumerate(profiles):
            model, share = self._models[index], self.devices[index].precision_share
            useful = [
                row.model_copy(update={"latency_ms": share * row.latency_ms})
                for row in rows
                if model.knows(row)
            ]
            self._profiled[index] += useful
            added += len(useful)
        return added

    @property
    def has_layers(self) -> bool:
        """Whether times of layers are known on every device."""
        return all(self._profiled)

    def fit(self) -> None:
        """Fit the models to all that is known by now."""
        for model, rows, own in zip(self._models, self._profiled, self._own_ms, strict=True):
            model.fit(rows, [WidthTotal(widths, ms) for widths, ms in own.items()])

    def covered(
        self, profiles: Sequence[Sequence[LayerLatency]], cuts: Sequence[Mapping[str, int]]
    ) -> bool:
        """Whether `profiles`, one a device, tell what profiling at `cuts` would."""
        return all(
            model.covers(rows, cuts) for model, rows in zip(self._models, profiles, strict=True)
        )

    def weight_count(self, widths: Mapping[str, int]) -> float:
        """How many weights the model's layers have at `widths`."""
        return self._models[0].weight_count(widths)

    def predictions_ms(self, widths: Mapping[str, int]) -> list[float]:
        """Of each device, in its own time."""
        return [model.predict_ms(widths) for model in self._models]

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        """Predicted latency at `widths`."""
        return self.worst_ms(widths, self.predictions_ms(widths))

    def near(self, target_ms: float) -> Corrected:
        """The models, each corrected to what was measured on its device near the target."""
        return Corrected(self, [self._factor(i, target_ms) for i in range(len(self.devices))])

    def expected_ms(self, widths: Widths, anchor: Widths) -> float:
        """Latency at `widths` from that measured at `anchor` and the models' difference.

        That is far more exact than the models' totals where the two are neighbours.
        """
        anchors_ms = (own[anchor] for own in self._own_ms)
        changes = zip(self.predictions_ms(widths), self.predictions_ms(anchor), strict=True)
        times = [ms + new - old for ms, (new, old) in zip(anchors_ms, changes, strict=True)]
        return self.worst_ms(widths, times)

    def nearest(self, target_ms: float, count: int) -> list[tuple[Widths, float]]:
        """What was measured nearest to the target, nearest first."""
        return sorted(self.measured.items(), key=lambda item: abs(item[1] - target_ms))[:count]

    def own_ms(self, widths: Widths) -> list[float]:
        """What was measured at `widths` on each device, in its own time."""
        return [own[widths] for own in self._own_ms]

    def own_target_ms(self, index: int, target_ms: float) -> float:
        """A latency in the first device's time as the device at `index` has it."""
        return target_ms * self.devices[index].budget_ms / self.devices[0].budget_ms

    def _add(self, widths: Widths, times: Sequence[float]) -> None:
        for own, latency_ms in zip(self._own_ms, times, strict=True):
            own[widths] = latency_ms
        self.measured[widths] = self.worst_ms(widths, times)

    def worst_ms(self, widths: Mapping[str, int], times: Sequence[float]) -> float:
        """What a cut takes on each device, and its size, as one latency in the first's time."""
        lead_ms = self.devices[0].budget_ms
        scaled = [
            latency_ms if index == 0 else latency_ms * lead_ms / device.budget_ms
            for index, (latency_ms, device) in enumerate(zip(times, self.devices, strict=True))
            if device.is_budgeted
        ]
        if self.footprints is not None:
            share = self.footprints.share(widths)
            # A size is exact: what is as large as it may be lands as well as what is smaller.
            scaled.append(lead_ms * share * (LANDING_HIGH if share <= 1 else 1.0))
        return max(scaled)

    def terms(self, factors: Sequence[float]) -> Sequence[LatencyTerms]:
        """What `worst_ms` is the largest of, by layers, where each model is scaled by a factor."""
        lead_ms = self.devices[0].budget_ms
        times = [
            model.scaled(factor if index == 0 else factor * lead_ms / device.budget_ms)
            for index, (model, device, factor) in enumerate(
                zip(self._models, self.devices, factors, strict=True)
            )
            if device.is_budgeted
        ]
        sizes = self.footprints.terms(lead_ms, LANDING_HIGH) if self.footprints else []
        return [*times, *sizes]

    def _factor(self, index: int, target_ms: float) -> float:
        goal_ms, model = self.own_target_ms(index, target_ms), self._models[index]
        near = sorted(self._own_ms[index].items(), key=lambda item: abs(item[1] - goal_ms))
        ratios = sorted(ms / model.predict_ms(widths) for widths, ms in near[:NEAREST])
        return ratios[len(ratios) // 2]


@dataclass(frozen=True)
class Corrected:
    """Latencies whose models are each scaled by a factor."""

    latencies: Latencies
    factors: Sequence[float]

    def each_ms(self, widths: Mapping[str, int]) -> list[float]:
        """Predicted latency on each device, in its own time."""
        predicted = self.latencies.predictions_ms(widths)
        return [factor * ms for factor, ms in zip(self.factors, predicted, strict=True)]

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        """Predicted latency at `widths`."""
        return self.latencies.worst_ms(widths, self.each_ms(widths))

    def terms(self) -> Sequence[LatencyTerms]:
        """Of each device with a budget, in the first's time, and of each size."""
        return self.latencies.terms(self.factors)
