"""Planning a turn: widths that meet its latency, found on the device before any training.

A survey profiles a few untrained candidates layer by layer and fits the latency model. Then widths
are allocated, built, measured against the teacher, and the model corrected, until measured widths
land just inside the target. Where the run has several budgets, "latency" is in the first device's
time and that of the budget furthest off, sizes among them (`spiral/planning/latencies.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from edgespiral.core.records.widths import Widths
from edgespiral.prune.groups import widths_of
from edgespiral.spiral.planning.allocate import ALLOCATIONS, FAMILIES, choices, every_choice
from edgespiral.spiral.planning.candidates import CandidateFiles, Candidates
from edgespiral.spiral.planning.cut_costs import cuts_of
from edgespiral.spiral.planning.latencies import LANDING_HIGH, Latencies
from edgespiral.spiral.planning.latency_model import layer_shapes
from edgespiral.spiral.planning.probes import probes
from edgespiral.spiral.planning.search import PROPOSAL_ROUNDS, Planned, Search

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.events import Candidate
    from edgespiral.core.records.journal import Journal
    from edgespiral.core.records.parts import Part
    from edgespiral.core.records.schema import Precision
    from edgespiral.core.records.widths import GroupCut
    from edgespiral.export.int8.convert import Form
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.latency_cache import LatencyCache
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.planning.footprints import Footprints
    from edgespiral.spiral.planning.importance import Importance
    from edgespiral.spiral.planning.latencies import Device
    from edgespiral.spiral.planning.screening import Screen
    from edgespiral.spiral.planning.stepping.choices import Choices

# No group falls below this share of its channels in one turn: importance is additive only for
# small cuts, and a group that collapses cannot be mended by distillation.
LEAST_SHARE = 0.2


@dataclass(frozen=True)
class OutOfReach:
    """Even the narrowest widths are too slow, or too large: the fastest that this turn could be.

    `size` is how large they are, where that is what is furthest off.
    """

    fastest_ms: float
    size: str = ""


@dataclass
class Planner:
    """Plans the turns of one run; what it learns of the devices serves all of them.

    Attributes:
        fleet: sessions on the run's devices.
        devices: what is known of each, in the fleet's order.
        precision: of the run's students.
        written: that files are written in: TensorRT makes fp16 of fp32 files itself.
        form: of int8 files.
        caches: of earlier runs' measurements, one a device, or none.
        two_four: candidates run in kernels that only weights with such zeros get.
        footprints: sizes, against the run's budgets of them; None where there are none.
        parts: what of a model runs by itself, given inputs, as `Task.parts`.
    """

    original: PrunableModel
    fleet: Fleet
    devices: Sequence[Device]
    journal: Journal
    teacher_onnx: Path
    work: Path
    seed: int
    precision: Precision = "fp32"
    written: Precision = "fp32"
    form: Form = "onnxruntime"
    caches: Sequence[LatencyCache] = ()
    two_four: bool = False
    footprints: Footprints | None = None
    parts: Callable[[nn.Module, Tensors], tuple[Part, ...]] = lambda *_: ()
    _candidates: Candidates = field(init=False)
    _latencies: Latencies = field(init=False)
    _base: Widths = field(init=False)

    def __post_init__(self) -> None:
        """Set up the latency models; nothing is measured yet."""
        original = self.original
        layers = layer_shapes(original.model, original.groups, original.example)
        self._base = Widths(widths_of(original.groups))
        self._latencies = Latencies(self.devices, layers, self._base, self.footprints)
        if self.two_four:  # the uncut model is faster than the dense teacher, too
            self._latencies.forget([self._base])
        self._candidates = Candidates(
            files=CandidateFiles(
                original,
                self.work,
                self.written,
                self.form,
                self.two_four,
                self.parts,
                has_modules=self.fleet.needs_modules,
            ),
            fleet=self.fleet,
            journal=self.journal,
            teacher_onnx=self.teacher_onnx,
            latencies=self._latencies,
            precision=self.precision,
            caches=self.caches,
        )
        self.reused_models = len(self._candidates.unverified)

    @property
    def reused_layers(self) -> int:
        """How many of the cache's layers the latency models learned from."""
        return self._candidates.reused_layers

    @property
    def start_ms(self) -> float:
        """Latency of the uncut model in the students' precision, its weights dense."""
        return self._latencies.worst_ms(self._base, [device.start_ms for device in self.devices])

    def weight_count(self, widths: Mapping[str, int]) -> float:
        """How many weights a cut keeps, of all layers that have channels."""
        return self._latencies.weight_count(widths)

    def recall(self, candidates: Sequence[Candidate]) -> None:
        """Take over measurements that an interrupted run wrote to its journal."""
        self._candidates.recall(candidates)
        # The cache has what this run had measured before, too.
        self.reused_models = len(self._candidates.unverified)

    def own_ms(self, latency_ms: float) -> dict[str, float]:
        """A latency in the first device's time, as each device's own, by target."""
        return {
            device.target: self._latencies.own_target_ms(index, latency_ms)
            for index, device in enumerate(self.devices)
        }

    def target_text(self, target_ms: float) -> str:
        """A target in the first device's time as a person would say it, of every budget."""
        several, own_ms = len(self.devices) > 1, self.own_ms(target_ms)
        latencies = [
            f"{own_ms[device.target]:.3g} ms" + (f" on {device.target}" if several else "")
            for device in self.devices
            if device.is_budgeted
        ]
        share = target_ms / self.devices[0].budget_ms
        budgets = self.footprints.budgets if self.footprints else ()
        return ", ".join([*latencies, *(b.text(share * b.limit) for b in budgets)])

    def text_of(self, planned: Planned) -> str:
        """What a cut was measured to take, as a person would say it."""
        if self.footprints is None:
            return f"{planned.latency_ms:.3f} ms"
        latency_ms, footprint = self._latencies.own_ms(planned.widths)[0], self.footprints
        value = footprint.of(planned.widths)
        sizes = [budget.text(budget.value(value)) for budget in footprint.budgets]
        return ", ".join([f"{latency_ms:.3f} ms", *sizes])

    def cut_costs(
        self, parent: PrunableModel, importance: Importance, widths: Widths
    ) -> tuple[GroupCut, ...]:
        """What each cut from `parent` to `widths` loses and saves; empty before any survey."""
        if not self._candidates.surveyed:
            return ()
        choice = self._choices(parent, importance)
        latency = self._latencies.near(self._latencies.measured[widths])
        return cuts_of(choice, latency, [device.target for device in self.devices], widths)

    def fastest_ms(self) -> float:
        """Latency of the narrowest that any number of turns could cut the model to.

        Raises:
            UsageError: nothing can be cut in steps of the device's channel multiple.
            MeasurementError, TargetError: the device did not answer.
        """
        return self._measured_ms(1, self._narrowest)

    def divergence(
        self, parent: PrunableModel, importance: Importance, target_ms: float, allocation: str
    ) -> float:
        """What the cut of `parent` to a latency is predicted to lose before training, in nats.

        Infinite where no cut is predicted to be that fast.

        Raises:
            MeasurementError, TargetError: the device did not answer.
        """
        choice = self._choices(parent, importance)
        self._candidates.survey(1, probes(choice, self.seed))
        latency = self._latencies.near(target_ms)
        widths = ALLOCATIONS[allocation](choice, latency, target_ms)
        return math.inf if widths is None else choice.total_lost(widths)

    def fastest_of_turn_ms(self, turn: int, parent: PrunableModel, importance: Importance) -> float:
        """Latency of the narrowest that one turn may cut `parent` to.

        Raises:
            As `fastest_ms`.
        """
        return self._measured_ms(turn, self._choices(parent, importance).narrowest())

    def measured_at(
        self, turn: int, parent: PrunableModel, importance: Importance, widths: Widths
    ) -> Planned | None:
        """Widths that were chosen elsewhere, measured at length; None if this turn has no such.

        Raises:
            MeasurementError, TargetError: the device did not answer.
        """
        choice = self._choices(parent, importance)
        if widths.keys() != choice.options.keys() or not choice.allows(widths):
            return None
        self._candidates.confirm(turn, widths)
        latency_ms = self._latencies.measured[widths]
        return Planned(widths, latency_ms, choice.total_lost(widths))

    def beyond_reach(self, limit_ms: float) -> OutOfReach | None:
        """The narrowest that any number of turns could cut to, if surely slower than `limit_ms`.

        Raises:
            As `fastest_ms`.
        """
        latency_ms, candidates = self.fastest_ms(), self._candidates
        # What is in doubt is measured at length, which takes a while of a slow model.
        if candidates.is_within(self._narrowest, limit_ms) or candidates.may_be_within(
            1, self._narrowest, limit_ms
        ):
            return None
        measured_ms = self._latencies.measured[self._narrowest]
        return self._out_of_reach(max(latency_ms, measured_ms), self._narrowest)

    @cached_property
    def _narrowest(self) -> Widths:
        groups, branches = self.original.groups, self.original.branches
        return every_choice(groups, branches, self._latencies.step).narrowest()

    def plan(
        self,
        turn: int,
        parent: PrunableModel,
        importance: Importance,
        *,
        target_ms: float,
        allocation: str,
        screen: Screen | None = None,
        budget_ms: float | None = None,
    ) -> Planned | OutOfReach:
        """Choose widths for `turn` that measure at most `target_ms`, losing least.

        With `screen` (and allocation `latency`) whole cuts are compared, else what their groups
        lose is added up. Where nothing lands well inside the target, the fastest that may be within
        it is taken, or within `budget_ms` if that is more: what is measured at length after its
        training tells.

        Raises:
            MeasurementError, TargetError: the device did not answer.
        """
        choice, limit_ms = self._choices(parent, importance), max(target_ms, budget_ms or 0.0)
        if choice.is_settled:  # what earlier turns left is as narrow as the device's steps allow
            uncut = self._uncut(turn, choice, target_ms)
            return uncut or self._fastest(turn, choice, limit_ms)
        if allocation in FAMILIES:
            choice = replace(choice, only=tuple(FAMILIES[allocation](choice)))
        uncut = self._uncut(turn, choice, target_ms)
        if uncut is not None:
            return uncut
        self._candidates.survey(turn, probes(choice, self.seed))
        search = Search(turn, target_ms, choice, allocation, self._candidates, screen)
        return search.best() or self._fastest(turn, choice, limit_ms)

    def _fastest(self, turn: int, choice: Choices, limit_ms: float) -> Planned | OutOfReach:
        """The fastest cut that was measured, if it may take `limit_ms` or less.

        Not what an earlier turn has made: that was judged at length.
        """
        narrowest_ms = self._measured_ms(turn, choice.narrowest())
        judged = {choice.widest()} - {self._base}
        measured = self._latencies.measured
        allowed = [cut for cut in measured if cut not in judged and choice.allows(cut)]
        for widths in sorted(allowed, key=lambda cut: measured[cut]):
            if self._candidates.may_be_within(turn, widths, limit_ms):
                return Planned(widths, measured[widths], choice.total_lost(widths))
        fastest = min(allowed, key=lambda cut: measured[cut], default=None)
        if fastest is None:
            return self._out_of_reach(narrowest_ms, choice.narrowest())
        return self._out_of_reach(measured[fastest], fastest)

    def _out_of_reach(self, fastest_ms: float, widths: Widths) -> OutOfReach:
        if self.footprints is None:
            return OutOfReach(fastest_ms)
        share = self.footprints.share(widths)
        budget, value = self.footprints.furthest(widths)
        # Of a size that is within its budget, what is off is a latency.
        is_size = share > 1 and share * self.devices[0].budget_ms >= fastest_ms * (1 - 1e-9)
        return OutOfReach(fastest_ms, budget.text(value) if is_size else "")

    def _uncut(self, turn: int, choice: Choices, target_ms: float) -> Planned | None:
        """The model as it is, where a lower precision alone is fast enough."""
        latency_ms = self._measured_ms(turn, self._base)
        if latency_ms > LANDING_HIGH * target_ms or not choice.allows(self._base):
            return None
        return Planned(self._base, latency_ms, 0.0)

    def _choices(self, parent: PrunableModel, importance: Importance) -> Choices:
        present = {group.name for group in parent.groups}
        return choices(
            parent.groups,
            importance.channels,
            multiple=self._latencies.step,
            least_share=LEAST_SHARE,
            branches=parent.branches,
            branch_importance=importance.branches,
            gone=[g.name for g in self.original.groups if g.name not in present],
        )

    def _measured_ms(self, turn: int, widths: Widths) -> float:
        if widths not in self._latencies.measured or widths in self._candidates.unverified:
            self._candidates.measure(turn, [widths], rounds=PROPOSAL_ROUNDS)
        return self._latencies.measured[widths]
