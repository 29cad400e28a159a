"""Planning a turn: widths that meet its latency, found on the device before any training.

A survey profiles a few untrained candidates layer by layer and fits the latency model. Then widths
are allocated, built, measured against the teacher, and the model corrected, until measured widths
land just inside the target. Where the run has several devices, "latency" is in the first's time and
that of the device furthest from its budget (`spiral/latencies.py`).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgespiral.spiral.allocate import (
    ALLOCATIONS,
    FAMILIES,
    Choices,
    allocate,
    choices,
    every_choice,
)
from edgespiral.spiral.bought import cuts_of
from edgespiral.spiral.candidates import CandidateFiles, Candidates
from edgespiral.spiral.latencies import Latencies, key_of
from edgespiral.spiral.latency_model import layer_shapes
from edgespiral.spiral.probes import probes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.journal import Journal
    from edgespiral.core.record import Precision
    from edgespiral.core.records import Candidate, GroupCut
    from edgespiral.export.int8 import Form
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.latency_cache import LatencyCache
    from edgespiral.spiral.cutting import Cuttable
    from edgespiral.spiral.importance import Importance
    from edgespiral.spiral.latencies import Device, Key

    Widths = dict[str, int]

# Landing window as shares of the target: the upper end leaves room for the error of a quick
# measurement, so that the longer one after training does not fall on the wrong side.
LANDING_LOW = 0.935
LANDING_HIGH = 0.98
AIMS = (0.97, 0.955, 0.94)
# What a turn is built on is measured at length.
PROPOSAL_ROUNDS = 16
CONFIRMING_ROUNDS = 60
MAX_ROUNDS = 6
ANCHORS = 5
# Prices are estimates: other cuts that lose up to this much more are worth a trial.
VARIATIONS = 24
PRICE_SPREAD = 0.7
WORTH_TRYING = 1.6
MOST_VARIED = 6
VARIED_ROUNDS = 2
# No group falls below this share of its channels in one turn: importance is additive only for
# small cuts, and a group that collapses cannot be mended by distillation.
LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Planned:
    """Widths chosen for a turn and what was measured and lost at them."""

    widths: Widths
    latency_ms: float
    importance_lost: float


@dataclass(frozen=True)
class OutOfReach:
    """Even the narrowest widths are too slow: the fastest that this turn could be."""

    fastest_ms: float


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
    """

    original: Cuttable
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
    _candidates: Candidates = field(init=False)
    _latencies: Latencies = field(init=False)
    _base: Widths = field(init=False)
    _confirmed: set[Key] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        """Set up the latency models; nothing is measured yet."""
        original = self.original
        layers = layer_shapes(original.model, original.groups, original.example)
        self._base = {group.name: group.channels for group in original.groups}
        self._latencies = Latencies(self.devices, layers, self._base)
        if self.two_four:  # the uncut model is faster than the dense teacher, too
            self._latencies.forget([key_of(self._base)])
        self._candidates = Candidates(
            files=CandidateFiles(original, self.work, self.written, self.form, self.two_four),
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
        return self._latencies.worst_ms([device.start_ms for device in self.devices])

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

    def bought(
        self, parent: Cuttable, importance: Importance, widths: Widths
    ) -> tuple[GroupCut, ...]:
        """What each cut from `parent` to `widths` loses and saves; empty before any survey."""
        if not self._candidates.surveyed:
            return ()
        choice = self._choices(parent, importance)
        latency = self._latencies.near(self._latencies.measured[key_of(widths)])
        return cuts_of(choice, latency, [device.target for device in self.devices], widths)

    def fastest_ms(self) -> float:
        """Latency of the narrowest that any number of turns could cut the model to.

        Raises:
            UsageError: nothing can be cut in steps of the device's channel multiple.
            MeasurementError, TargetError: the device did not answer.
        """
        groups, branches = self.original.groups, self.original.branches
        every = every_choice(groups, branches, self._latencies.step)
        return self._measured_ms(1, every.narrowest())

    def plan(
        self,
        turn: int,
        parent: Cuttable,
        importance: Importance,
        *,
        target_ms: float,
        allocation: str,
        finalists: int = 1,
    ) -> list[Planned] | OutOfReach:
        """Choose widths for `turn` that measure at most `target_ms`, losing least importance.

        With `finalists` above 1 (and allocation `latency`) the first is the best by importance and
        the others cut elsewhere for a similar loss, all measured to land as well.

        Raises:
            UsageError: nothing can be cut in steps of the device's channel multiple.
            MeasurementError, TargetError: the device did not answer.
        """
        choice = self._choices(parent, importance)
        if allocation in FAMILIES:
            choice = replace(choice, only=tuple(FAMILIES[allocation](choice)))
        uncut = self._uncut(turn, choice, target_ms)
        if uncut is not None:
            return [uncut]
        self._candidates.survey(turn, probes(choice, self.seed))
        best = self._search(turn, choice, allocation, target_ms)
        if best is None:
            return self._fastest(turn, choice)
        if finalists == 1 or allocation in FAMILIES:
            return [best]
        return [best, *self._others(turn, choice, target_ms, best, finalists - 1)]

    def _uncut(self, turn: int, choice: Choices, target_ms: float) -> Planned | None:
        """The model as it is, where a lower precision alone is fast enough."""
        latency_ms = self._measured_ms(turn, self._base)
        if latency_ms > LANDING_HIGH * target_ms or not choice.allows(self._base):
            return None
        return Planned(dict(self._base), latency_ms, 0.0)

    def _search(
        self, turn: int, choice: Choices, allocation: str, target_ms: float
    ) -> Planned | None:
        """The best cut that lands, or failing that the best below the target."""
        known = self._known_best(turn, choice, allocation, target_ms)
        if known is not None:
            return known
        for _ in range(MAX_ROUNDS):
            proposals = self._proposals(choice, allocation, target_ms)
            if not proposals:
                break
            self._measure(turn, proposals)
            best = self._confirmed_best(turn, choice, target_ms, least_ms=LANDING_LOW * target_ms)
            if best is not None:
                return best
        return self._confirmed_best(turn, choice, target_ms, least_ms=0.0)

    def _known_best(
        self, turn: int, choice: Choices, allocation: str, target_ms: float
    ) -> Planned | None:
        """A landing that the cache tells of and this run confirms, if no proposal loses less."""
        found = self._solved(choice, allocation, target_ms) if self._candidates.unverified else []
        lost = min((choice.total_lost(widths) for widths in found), default=-math.inf)
        least_ms = LANDING_LOW * target_ms
        best = self._best(choice, target_ms)
        if best is None or best.latency_ms < least_ms or best.importance_lost > lost:
            return None
        confirmed = self._confirmed_best(turn, choice, target_ms, least_ms=least_ms)
        return confirmed if confirmed and confirmed.importance_lost <= lost else None

    def _others(
        self, turn: int, choice: Choices, target_ms: float, best: Planned, count: int
    ) -> list[Planned]:
        """Up to `count` cuts that land as well, lose little more, and differ most from the rest."""
        # What the first measures corrects the model where the second looks.
        for attempt in range(VARIED_ROUNDS):
            if len(self._worth_trying(choice, target_ms, best)) <= count:
                self._measure(turn, self._varied(choice, target_ms, best, attempt))
        chosen = [best]
        rest = self._worth_trying(choice, target_ms, best)
        while len(chosen) <= count:
            rest = [planned for planned in rest if planned not in chosen]
            if not rest:
                break
            chosen.append(max(rest, key=lambda planned: _gap(choice, planned, chosen)))
        others = [p.widths for p in chosen[1:] if key_of(p.widths) not in self._confirmed]
        self._measure(turn, others, rounds=CONFIRMING_ROUNDS)
        self._confirmed.update(map(key_of, others))
        landed = self._landed(choice, target_ms, least_ms=LANDING_LOW * target_ms)
        kept = [other.widths for other in chosen[1:]]
        return [planned for planned in landed if planned.widths in kept]

    def _worth_trying(self, choice: Choices, target_ms: float, best: Planned) -> list[Planned]:
        most = WORTH_TRYING * best.importance_lost
        landed = self._landed(choice, target_ms, least_ms=LANDING_LOW * target_ms)
        return [planned for planned in landed if planned.importance_lost <= most]

    def _varied(
        self, choice: Choices, target_ms: float, best: Planned, attempt: int
    ) -> list[Widths]:
        """What would be chosen if the prices were otherwise, least lost first."""
        # Spreads a search, secures nothing.
        mixer = random.Random(f"{self.seed} {attempt}")
        latency = self._latencies.near(target_ms)
        fresh: dict[Key, Widths] = {}
        for _ in range(VARIATIONS):
            aim = mixer.uniform(AIMS[-1], AIMS[0])
            widths = allocate(choice.repriced(mixer, PRICE_SPREAD), latency, target_ms * aim)
            if widths is None or key_of(widths) in self._latencies.measured:
                continue
            if choice.total_lost(widths) <= WORTH_TRYING * best.importance_lost:
                fresh[key_of(widths)] = widths
        return sorted(fresh.values(), key=choice.total_lost)[:MOST_VARIED]

    def _confirmed_best(
        self, turn: int, choice: Choices, target_ms: float, *, least_ms: float
    ) -> Planned | None:
        """The best that was measured, if at least `least_ms`, measured again at length.

        The best of several quick measurements is likely a lucky one.
        """
        best = self._best(choice, target_ms)
        while best is not None and best.latency_ms >= least_ms:
            if key_of(best.widths) in self._confirmed:
                return best
            self._measure(turn, [best.widths], rounds=CONFIRMING_ROUNDS)
            self._confirmed.add(key_of(best.widths))
            best = self._best(choice, target_ms)
        return None

    def _choices(self, parent: Cuttable, importance: Importance) -> Choices:
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

    def _proposals(self, choice: Choices, allocation: str, target_ms: float) -> list[Widths]:
        found = self._solved(choice, allocation, target_ms)
        nearby = self._nearby(choice, target_ms) if allocation == "latency" else []
        known = self._latencies.measured
        fresh = {key_of(w): w for w in (*found, *nearby) if key_of(w) not in known}
        return list(fresh.values())[: len(AIMS)]

    def _solved(self, choice: Choices, allocation: str, target_ms: float) -> list[Widths]:
        solve, latency = ALLOCATIONS[allocation], self._latencies.near(target_ms)
        found = (solve(choice, latency, target_ms * aim) for aim in AIMS)
        return [widths for widths in found if widths]

    def _nearby(self, choice: Choices, target_ms: float) -> list[Widths]:
        """Neighbours of what was measured nearest to the target, expected to land, best first.

        A neighbour's latency is its measured anchor's plus the model's difference, which is far
        more exact than the model's total.
        """
        landing: dict[Key, Widths] = {}
        for key, _ in self._latencies.nearest(target_ms, ANCHORS):
            anchor = dict(key)
            if not choice.allows(anchor):
                continue
            for widths in choice.neighbours(anchor):
                expected_ms = self._latencies.expected_ms(widths, anchor)
                if LANDING_LOW <= expected_ms / target_ms <= LANDING_HIGH:
                    landing[key_of(widths)] = widths
        return sorted(landing.values(), key=choice.total_lost)

    def _best(self, choice: Choices, target_ms: float) -> Planned | None:
        reachable = self._landed(choice, target_ms, least_ms=0.0)
        return min(reachable, key=lambda planned: planned.importance_lost, default=None)

    def _landed(self, choice: Choices, target_ms: float, *, least_ms: float) -> list[Planned]:
        """What was measured between `least_ms` and the top of the landing window."""
        return [
            Planned(dict(key), ms, choice.total_lost(dict(key)))
            for key, ms in self._latencies.measured.items()
            if least_ms <= ms <= LANDING_HIGH * target_ms and choice.allows(dict(key))
        ]

    def _fastest(self, turn: int, choice: Choices) -> OutOfReach:
        return OutOfReach(self._measured_ms(turn, choice.narrowest()))

    def _measured_ms(self, turn: int, widths: Widths) -> float:
        key = key_of(widths)
        if key not in self._latencies.measured or key in self._candidates.unverified:
            self._measure(turn, [widths])
        return self._latencies.measured[key]

    def _measure(
        self, turn: int, proposals: Sequence[Widths], *, rounds: int = PROPOSAL_ROUNDS
    ) -> None:
        self._candidates.measure(turn, proposals, rounds=rounds)


def _gap(choice: Choices, planned: Planned, chosen: Sequence[Planned]) -> float:
    return min(choice.distance(planned.widths, other.widths) for other in chosen)
