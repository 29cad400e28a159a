"""Planning a turn: widths that meet its latency, found on the device before any training.

A survey profiles a few untrained candidates layer by layer and fits the latency model. Then widths
are allocated, built, measured against the teacher, and the model corrected, until measured widths
land just inside the target.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgespiral.core.records import Candidate
from edgespiral.spiral.allocate import (
    ALLOCATIONS,
    FAMILIES,
    Choices,
    allocate,
    choices,
    every_choice,
)
from edgespiral.spiral.candidates import CandidateFiles
from edgespiral.spiral.latency_model import LatencyModel, WidthTotal, layer_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.journal import Journal
    from edgespiral.core.records import LayerLatency, Precision
    from edgespiral.export.int8 import Form
    from edgespiral.measure.session import Session
    from edgespiral.spiral.cutting import Cuttable
    from edgespiral.spiral.importance import Importance

    Widths = dict[str, int]

# Landing window as shares of the target: the upper end leaves room for the error of a quick
# measurement, so that the longer one after training does not fall on the wrong side.
LANDING_LOW = 0.935
LANDING_HIGH = 0.98
AIMS = (0.97, 0.955, 0.94)
# A survey teaches the model and may be rough; what a turn is built on is measured at length.
SURVEY_ROUNDS = 8
PROPOSAL_ROUNDS = 16
CONFIRMING_ROUNDS = 60
MAX_ROUNDS = 6
ANCHORS = 5
UNIFORM_PROBES = (0.75, 0.5, 0.25)
MIXED_PROBES = 5
BRANCH_PROBE_SHARE = 0.25
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
    """Plans the turns of one run; what it learns of the target serves all of them."""

    original: Cuttable
    session: Session
    journal: Journal
    teacher_onnx: Path
    teacher_ms: float
    multiple: int
    work: Path
    seed: int
    precision: Precision = "fp32"
    # That files are written in: TensorRT makes fp16 of fp32 files itself.
    written: Precision = "fp32"
    form: Form = "onnxruntime"
    # Of the uncut model in `precision`; teacher_ms is what speed-ups are against.
    start_ms: float | None = None
    # Candidates run in kernels that only weights with such zeros get.
    two_four: bool = False
    _files: CandidateFiles = field(init=False)
    _model: LatencyModel = field(init=False)
    _measured: dict[tuple[tuple[str, int], ...], float] = field(init=False, default_factory=dict)
    _profiled: list[LayerLatency] = field(init=False, default_factory=list)
    _confirmed: set[tuple[tuple[str, int], ...]] = field(init=False, default_factory=set)
    _surveyed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Set up the latency model; nothing is measured yet."""
        layers = layer_shapes(self.original.model, self.original.groups, self.original.example)
        base = {group.name: group.channels for group in self.original.groups}
        self._model = LatencyModel(layers, base, self.multiple)
        self._files = CandidateFiles(
            self.original, self.work, self.written, self.form, self.two_four
        )
        if not self.two_four:  # else the uncut model is faster than the dense teacher, too
            self._measured[_key(base)] = self.start_ms or self.teacher_ms

    def recall(self, candidates: Sequence[Candidate]) -> None:
        """Take over measurements that an interrupted run wrote to its journal."""
        for candidate in candidates:
            if candidate.precision != self.precision:
                continue
            latency_ms = self.teacher_ms / candidate.speedup.value
            self._measured[_key(candidate.widths)] = latency_ms

    def fastest_ms(self) -> float:
        """Latency of the narrowest that any number of turns could cut the model to.

        Raises:
            UsageError: nothing can be cut in steps of the device's channel multiple.
            MeasurementError, TargetError: the device did not answer.
        """
        every = every_choice(self.original.groups, self.original.branches, self.multiple)
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
        self._survey(turn, choice)
        best = self._search(turn, choice, allocation, target_ms)
        if best is None:
            return self._fastest(turn, choice)
        if finalists == 1 or allocation in FAMILIES:
            return [best]
        return [best, *self._others(turn, choice, target_ms, best, finalists - 1)]

    def _uncut(self, turn: int, choice: Choices, target_ms: float) -> Planned | None:
        """The model as it is, where a lower precision alone is fast enough."""
        base = {group.name: group.channels for group in self.original.groups}
        latency_ms = self._measured_ms(turn, base)
        if latency_ms > LANDING_HIGH * target_ms or not choice.allows(base):
            return None
        return Planned(base, latency_ms, 0.0)

    def _search(
        self, turn: int, choice: Choices, allocation: str, target_ms: float
    ) -> Planned | None:
        """The best cut that lands, or failing that the best below the target."""
        for _ in range(MAX_ROUNDS):
            proposals = self._proposals(choice, allocation, target_ms)
            if not proposals:
                break
            self._measure(turn, proposals)
            best = self._confirmed_best(turn, choice, target_ms, least_ms=LANDING_LOW * target_ms)
            if best is not None:
                return best
        return self._confirmed_best(turn, choice, target_ms, least_ms=0.0)

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
        others = [p.widths for p in chosen[1:] if _key(p.widths) not in self._confirmed]
        self._measure(turn, others, rounds=CONFIRMING_ROUNDS)
        self._confirmed.update(map(_key, others))
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
        latency = _Corrected(self._model, self._correction(target_ms))
        fresh: dict[tuple[tuple[str, int], ...], Widths] = {}
        for _ in range(VARIATIONS):
            aim = mixer.uniform(AIMS[-1], AIMS[0])
            widths = allocate(choice.repriced(mixer, PRICE_SPREAD), latency, target_ms * aim)
            if widths is None or _key(widths) in self._measured:
                continue
            if choice.total_lost(widths) <= WORTH_TRYING * best.importance_lost:
                fresh[_key(widths)] = widths
        return sorted(fresh.values(), key=choice.total_lost)[:MOST_VARIED]

    def _confirmed_best(
        self, turn: int, choice: Choices, target_ms: float, *, least_ms: float
    ) -> Planned | None:
        """The best that was measured, if at least `least_ms`, measured again at length.

        The best of several quick measurements is likely a lucky one.
        """
        best = self._best(choice, target_ms)
        while best is not None and best.latency_ms >= least_ms:
            if _key(best.widths) in self._confirmed:
                return best
            self._measure(turn, [best.widths], rounds=CONFIRMING_ROUNDS)
            self._confirmed.add(_key(best.widths))
            best = self._best(choice, target_ms)
        return None

    def _choices(self, parent: Cuttable, importance: Importance) -> Choices:
        present = {group.name for group in parent.groups}
        return choices(
            parent.groups,
            importance.channels,
            multiple=self.multiple,
            least_share=LEAST_SHARE,
            branches=parent.branches,
            branch_importance=importance.branches,
            gone=[g.name for g in self.original.groups if g.name not in present],
        )

    def _survey(self, turn: int, choice: Choices) -> None:
        if self._surveyed:
            return
        probes = _probes(choice, self.seed)
        models = [self._files.write_float(widths, index) for index, widths in enumerate(probes)]
        rows = self.session.profile_layers([self.teacher_onnx, *models], rounds=SURVEY_ROUNDS)
        self._profiled = [_scaled(row, self._precision_share) for model in rows for row in model]
        fresh = [widths for widths in probes if _key(widths) not in self._measured]
        self._measure(turn, fresh, rounds=SURVEY_ROUNDS)
        self._surveyed = True

    def _proposals(self, choice: Choices, allocation: str, target_ms: float) -> list[Widths]:
        solve = ALLOCATIONS[allocation]
        latency = _Corrected(self._model, self._correction(target_ms))
        found = [solve(choice, latency, target_ms * aim) for aim in AIMS]
        nearby = self._nearby(choice, target_ms) if allocation == "latency" else []
        fresh = {_key(w): w for w in (*found, *nearby) if w and _key(w) not in self._measured}
        return list(fresh.values())[: len(AIMS)]

    def _nearby(self, choice: Choices, target_ms: float) -> list[Widths]:
        """Neighbours of what was measured nearest to the target, expected to land, best first.

        A neighbour's latency is its measured anchor's plus the model's difference, which is far
        more exact than the model's total.
        """
        by_distance = sorted(self._measured.items(), key=lambda item: abs(item[1] - target_ms))
        landing: dict[tuple[tuple[str, int], ...], Widths] = {}
        for key, measured_ms in by_distance[:ANCHORS]:
            anchor = dict(key)
            if not choice.allows(anchor):
                continue
            base_ms = self._model.predict_ms(anchor)
            for widths in choice.neighbours(anchor):
                expected_ms = measured_ms + self._model.predict_ms(widths) - base_ms
                if LANDING_LOW <= expected_ms / target_ms <= LANDING_HIGH:
                    landing[_key(widths)] = widths
        return sorted(landing.values(), key=choice.total_lost)

    def _correction(self, target_ms: float) -> float:
        """How far the fitted model is off near the target, from the nearest measurements."""
        by_distance = sorted(self._measured.items(), key=lambda item: abs(item[1] - target_ms))
        ratios = sorted(ms / self._model.predict_ms(dict(key)) for key, ms in by_distance[:3])
        return ratios[len(ratios) // 2]

    def _best(self, choice: Choices, target_ms: float) -> Planned | None:
        reachable = self._landed(choice, target_ms, least_ms=0.0)
        return min(reachable, key=lambda planned: planned.importance_lost, default=None)

    def _landed(self, choice: Choices, target_ms: float, *, least_ms: float) -> list[Planned]:
        """What was measured between `least_ms` and the top of the landing window."""
        return [
            Planned(dict(key), ms, choice.total_lost(dict(key)))
            for key, ms in self._measured.items()
            if least_ms <= ms <= LANDING_HIGH * target_ms and choice.allows(dict(key))
        ]

    def _fastest(self, turn: int, choice: Choices) -> OutOfReach:
        return OutOfReach(self._measured_ms(turn, choice.narrowest()))

    def _measured_ms(self, turn: int, widths: Widths) -> float:
        if _key(widths) not in self._measured:
            self._measure(turn, [widths])
        return self._measured[_key(widths)]

    def _measure(
        self, turn: int, proposals: Sequence[Widths], *, rounds: int = PROPOSAL_ROUNDS
    ) -> None:
        if proposals:
            models = [self._files.write(widths, index) for index, widths in enumerate(proposals)]
            compared = self.session.compare(self.teacher_onnx, models, rounds=rounds)
            for widths, (measurement, speedup) in zip(proposals, compared, strict=True):
                predicted = self._model.predict_ms(widths) if self._surveyed else None
                self.journal.append(
                    Candidate(
                        turn=turn,
                        precision=self.precision,
                        widths=widths,
                        predicted_ms=predicted,
                        speedup=speedup,
                        measurement=measurement,
                    )
                )
                self._measured[_key(widths)] = self.teacher_ms / speedup.value
        totals = [WidthTotal(dict(key), ms) for key, ms in self._measured.items()]
        self._model.fit(self._profiled, totals)

    @property
    def _precision_share(self) -> float:
        """What `precision` takes of fp32's time, for the uncut model.

        Profiles of int8 models do not tell the layers' shapes, so layers are profiled in fp32 and
        scaled; whole models, which weigh far more in the fit, are measured in `precision`.
        """
        return (self.start_ms or self.teacher_ms) / self.teacher_ms


def _scaled(row: LayerLatency, share: float) -> LayerLatency:
    return row.model_copy(update={"latency_ms": share * row.latency_ms})


@dataclass(frozen=True)
class _Corrected:
    model: LatencyModel
    factor: float

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        return self.factor * self.model.predict_ms(widths)


def _gap(choice: Choices, planned: Planned, chosen: Sequence[Planned]) -> float:
    return min(choice.distance(planned.widths, other.widths) for other in chosen)


def _key(widths: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(widths.items()))


def _mixed(choice: Choices, mixer: random.Random) -> Widths:
    widths = {name: mixer.choice(options) for name, options in choice.options.items()}
    for groups in choice.branches.values():
        if mixer.random() < BRANCH_PROBE_SHARE:
            widths.update(dict.fromkeys(groups, 0))
    return widths


def _probes(choice: Choices, seed: int) -> list[Widths]:
    """Uniform shares and random mixes, so that every pairing of widths has been seen nearby."""
    # Steers a measurement, secures nothing.
    mixer = random.Random(seed)
    uniform = [choice.at_share(share) for share in UNIFORM_PROBES]
    mixed = [_mixed(choice, mixer) for _ in range(MIXED_PROBES)]
    return list({_key(widths): widths for widths in (*uniform, *mixed)}.values())
