"""Untrained candidates: written in the precision that students will have, and measured."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from edgespiral.core.nested import shapes
from edgespiral.core.records.events import Candidate, OnDevice
from edgespiral.core.records.footprint import Footprint
from edgespiral.core.records.widths import Widths
from edgespiral.core.system.files import make_folder
from edgespiral.distill.masks import apply_masks
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parts import write_parts
from edgespiral.export.precision import convert_untrained
from edgespiral.measure.latency_cache import MeasuredCut
from edgespiral.measure.model_files import timed_bytes
from edgespiral.models.modes import evaluating
from edgespiral.models.saved import save_model
from edgespiral.models.source import source_of
from edgespiral.models.work import parameter_count
from edgespiral.prune.sparsity import two_four_masks
from edgespiral.spiral.planning.pace import LEAST_ROUNDS, rounds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.journal import Journal
    from edgespiral.core.records.measurement import (
        LayerLatency,
        Measurement,
        Ratio,
    )
    from edgespiral.core.records.parts import Part
    from edgespiral.core.records.schema import Precision
    from edgespiral.export.int8.convert import Form
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.latency_cache import LatencyCache
    from edgespiral.measure.session import Session
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.planning.latencies import Latencies

    Timing = tuple[Measurement, Ratio]

# A survey teaches the model and may be rough; rounds of layers load nothing anew, and weigh little
# in the fit.
SURVEY_ROUNDS, PROFILED_ROUNDS = 6, 2
# Loading a model anew moves its latency more than samples of one loading differ, so the rounds of
# what is only compared are shorter than the profile's, and as many.
ROUND_SHARE = 1 / 3
# What a turn is built on is measured at length.
CONFIRMING_ROUNDS, LEAST_CONFIRMING = 32, 8
CONFIRMING_SHARE = 1 / 2
# Of slow models fewer cuts are surveyed; three of them are uniform, the others are mixed. Those are
# timed as a whole then.
LEAST_PROBES, LEAST_WHOLE = 5, 3
# The cache is of another time, whatever the fingerprint says, if one of its cuts is this far off.
STALE_SHARE = 0.1


@dataclass(frozen=True)
class CandidateFiles:
    """Files of cuts of `original` in `folder`.

    Attributes:
        precision: that the files are written in.
        form: of int8 files.
        two_four: weights have the zeros of 2:4 sparsity, where they can.
        parts: what of a model runs by itself, given inputs, as `Task.parts`.
        has_modules: the PyTorch module lies beside each file, for runtimes that are made of it.
    """

    original: PrunableModel
    folder: Path
    precision: Precision = "fp32"
    form: Form = "onnxruntime"
    two_four: bool = False
    parts: Callable[[nn.Module, Tensors], tuple[Part, ...]] = lambda *_: ()
    has_modules: bool = False
    _written: dict[Path, Widths] = field(init=False, default_factory=dict)
    _parameter_counts: dict[Widths, int] = field(init=False, default_factory=dict)

    def parts_of_original(self) -> tuple[Part, ...]:
        """The parts of the uncut model.

        Raises:
            ModelError: it cannot be taken apart.
        """
        with evaluating(self.original.model):
            return self.parts(self.original.model, self.original.example)

    def write(self, widths: Widths, index: int) -> Path:
        """The cut to `widths`, to be measured.

        Raises:
            ExportError: it has no ONNX form, or none in this precision.
        """
        return convert_untrained(self.write_float(widths, index), self.precision, self.form)

    def write_float(self, widths: Widths, index: int) -> Path:
        """The cut to `widths` in fp32.

        Raises:
            ExportError: it has no ONNX form.
        """
        name = f"candidate-{index}"
        folder = make_folder(self.folder / name if self.has_modules else self.folder)
        path = folder / f"{name}.onnx"
        # A survey profiles its cuts and then measures them.
        if self._written.get(path) == widths:
            return path
        model = self.original.candidate(widths)
        if self.two_four:
            apply_masks(model, two_four_masks(model))
        export_onnx(model, path, example=self.original.example)
        with evaluating(model):
            write_parts(path, self.parts(model, self.original.example))
        if self.has_modules:
            save_model(model, folder)
        self._written[path] = widths
        self._parameter_counts[widths] = parameter_count(model)
        return path

    def footprint(self, widths: Widths, path: Path) -> Footprint:
        """How large the cut to `widths` is, of which `path` was written."""
        count = self._parameter_counts[widths]
        return Footprint(size_bytes=timed_bytes(path), parameter_count=count)


@dataclass
class Candidates:
    """Measures candidates on every device of a run and keeps what it learns in `latencies`.

    Attributes:
        precision: of the run's students.
        caches: of latencies, one a device; empty for a run that is to learn all by itself.
        unverified: cuts of which only the cache tells.
        confirmed: cuts that this run has measured at length.
        reused_layers: how many of the cache's layers the latency models learned from.
    """

    files: CandidateFiles
    fleet: Fleet
    journal: Journal
    teacher_onnx: Path
    latencies: Latencies
    precision: Precision
    caches: Sequence[LatencyCache] = ()
    surveyed: bool = field(init=False, default=False)
    unverified: set[Widths] = field(init=False, default_factory=set)
    confirmed: set[Widths] = field(init=False, default_factory=set)
    reused_layers: int = field(init=False, default=0)
    # The ends of each cut's interval.
    _lowest_ms: dict[Widths, float] = field(init=False, default_factory=dict)
    _highest_ms: dict[Widths, float] = field(init=False, default_factory=dict)
    _architecture: str = field(init=False)

    def __post_init__(self) -> None:
        """Take over the cache's cuts of this architecture."""
        zeros = "-2:4" if self.files.two_four else ""
        counts = "".join(f"-{part.name}x{part.count}" for part in self.files.parts_of_original())
        architecture = _architecture(self.files.original)
        self._architecture = f"{architecture}-{self.precision}{zeros}{counts}"
        cuts_of_caches = [cache.read().cuts.get(self._architecture, ()) for cache in self.caches]
        by_widths = [{Widths(cut.widths): cut.speedup for cut in cuts} for cuts in cuts_of_caches]
        for widths in by_widths[0] if by_widths else ():
            # Groups have the names that they are found by, which another version may do otherwise.
            same_groups = widths.keys() == self.latencies.base_widths.keys()
            # The uncut model has this run's own measurement.
            fresh = widths not in self.latencies.measured
            if same_groups and fresh and all(widths in cuts for cuts in by_widths):
                self.latencies.add(widths, [cuts[widths] for cuts in by_widths])
                self.unverified.add(widths)

    def recall(self, candidates: Sequence[Candidate]) -> None:
        """Take over measurements that an interrupted run wrote to its journal."""
        for candidate in candidates:
            if candidate.precision == self.precision:
                speedups = [device.speedup for device in candidate.devices]
                self._learn(Widths(candidate.widths), speedups, candidate.footprint)

    def survey(self, turn: int, probes: Sequence[Widths]) -> None:
        """Profile `probes` layer by layer, unless the cache knows all their shape classes.

        Of a model that is slow on a device, the first of them do.

        Raises:
            MeasurementError, TargetError: a device did not answer.
        """
        if self.surveyed:
            return
        probes = probes[: rounds_of(len(probes), self.slowest_ms, least=LEAST_PROBES)]
        rows_of_caches = [cache.read().layers for cache in self._layer_caches]
        cuts = [self.latencies.base_widths, *probes]
        is_covered = bool(rows_of_caches) and self.latencies.covered(rows_of_caches, cuts)
        if is_covered:
            self.reused_layers = self.latencies.add_layers(rows_of_caches)
        else:
            self._profile(probes)
        # Layers are profiled in fp32, so of another precision only whole models tell.
        if is_covered and self.files.precision == "fp32":
            self.latencies.fit()
        else:
            # Where layers tell nothing, each of them is needed.
            least = len(probes) if not self.latencies.has_layers else LEAST_WHOLE
            whole = probes[: rounds_of(len(probes), self.slowest_ms, least=least)]
            fresh = [w for w in whole if w not in self.latencies.measured]
            self.measure(turn, fresh, rounds=SURVEY_ROUNDS)
        self.surveyed = True

    @property
    def slowest_ms(self) -> float:
        """The uncut model's latency on the device where it is longest."""
        return max(device.teacher_ms for device in self.latencies.devices)

    @property
    def _layer_caches(self) -> Sequence[LatencyCache]:
        """Layers with sparse weights may run in kernels of their own; the caches' are dense."""
        return () if self.files.two_four else self.caches

    def measure(
        self,
        turn: int,
        proposals: Sequence[Widths],
        *,
        rounds: int,
        least: int = LEAST_ROUNDS,
        round_share: float = ROUND_SHARE,
    ) -> None:
        """Measure cuts in alternation with the teacher, write them down and fit the models.

        Args:
            rounds: of models that are quick on a device.
            least: of the slowest.
            round_share: how long each is, of the profile's.

        Raises:
            MeasurementError, TargetError: a device did not answer.
        """
        if proposals:
            models = [self.files.write(widths, index) for index, widths in enumerate(proposals)]
            answers = self.fleet.each(
                lambda index, session: _compared(
                    session,
                    [self.teacher_onnx, *models],
                    self._rounds(index, rounds, least),
                    round_share,
                )
            )
            for widths, model, *timings in zip(proposals, models, *answers, strict=True):
                footprint = self.files.footprint(widths, model)
                self.journal.append(self._candidate(turn, widths, timings, footprint))
                self._learn(widths, [speedup for _, speedup in timings], footprint)
            for cache, answer in zip(self.caches, answers, strict=False):
                pairs = zip(proposals, answer, strict=True)
                cuts = [MeasuredCut(widths=dict(w), speedup=ratio.value) for w, (_, ratio) in pairs]
                cache.add(cuts={self._architecture: cuts})
        self.latencies.fit()

    def confirm(self, turn: int, widths: Widths) -> None:
        """Measure one cut at length.

        Raises:
            MeasurementError, TargetError: a device did not answer.
        """
        self.measure(
            turn,
            [widths],
            rounds=CONFIRMING_ROUNDS,
            least=LEAST_CONFIRMING,
            round_share=CONFIRMING_SHARE,
        )
        self.confirmed.add(widths)

    def is_within(self, widths: Widths, limit_ms: float) -> bool:
        """Whether this run has measured a cut whose whole interval is at `limit_ms` or below."""
        return self._highest_ms.get(widths, math.inf) <= limit_ms

    def may_be_within(self, turn: int, widths: Widths, limit_ms: float) -> bool:
        """Whether a measured cut may take `limit_ms` or less: not if its whole interval is above.

        What is in doubt is measured at length.

        Raises:
            MeasurementError, TargetError: a device did not answer.
        """
        measured_ms = self.latencies.measured[widths]
        doubtful = self._lowest_ms.get(widths, measured_ms) <= limit_ms
        if doubtful and widths not in self.confirmed:
            self.confirm(turn, widths)
        return doubtful and self._lowest_ms.get(widths, measured_ms) <= limit_ms

    def _profile(self, probes: Sequence[Widths]) -> None:
        models = [self.files.write_float(widths, index) for index, widths in enumerate(probes)]
        profiles = self.fleet.each(
            lambda _, session: _profiled(session, [self.teacher_onnx, *models], PROFILED_ROUNDS)
        )
        self.latencies.add_layers(profiles)
        for cache, rows in zip(self._layer_caches, profiles, strict=False):
            cache.add(layers=rows)

    def _rounds(self, index: int, wanted: int, least: int = LEAST_ROUNDS) -> int:
        """How many rounds the device at `index` takes."""
        return rounds_of(wanted, self.latencies.devices[index].teacher_ms, least=least)

    def _learn(
        self, widths: Widths, speedups: Sequence[Ratio], footprint: Footprint | None
    ) -> None:
        before_ms = self.latencies.measured.get(widths)
        self.latencies.add(widths, [speedup.value for speedup in speedups], footprint)
        quickest, slowest = zip(*((s.ci95.high, s.ci95.low) for s in speedups), strict=True)
        self._lowest_ms[widths] = self.latencies.of_speedups(widths, quickest)
        self._highest_ms[widths] = self.latencies.of_speedups(widths, slowest)
        if widths not in self.unverified or before_ms is None:
            return
        self.unverified.discard(widths)
        if abs(self.latencies.measured[widths] / before_ms - 1) > STALE_SHARE:
            self.latencies.forget(self.unverified)
            self.unverified.clear()

    def _candidate(
        self, turn: int, widths: Widths, timings: Sequence[Timing], footprint: Footprint
    ) -> Candidate:
        predicted = (
            self.latencies.predictions_ms(widths) if self.surveyed else [None for _ in timings]
        )
        return Candidate(
            turn=turn,
            precision=self.precision,
            widths=dict(widths),
            devices=tuple(
                OnDevice(
                    budget_ms=device.budget_ms if device.is_budgeted else None,
                    measurement=measurement,
                    speedup=speedup,
                    predicted_ms=predicted_ms,
                )
                for device, predicted_ms, (measurement, speedup) in zip(
                    self.latencies.devices, predicted, timings, strict=True
                )
            ),
            footprint=footprint,
        )


def _compared(
    session: Session, models: Sequence[Path], rounds: int, round_share: float
) -> list[Timing]:
    """All models but the first beside it, in rounds of a share of the profile's length."""
    reference, *others = models
    round_s = round_share * session.profile.measure.round_ms / 1e3
    return session.compare(reference, others, rounds=rounds, seconds_per_model=rounds * round_s)


def _profiled(session: Session, models: Sequence[Path], rounds: int) -> list[LayerLatency]:
    """The layers of all models; none where the runtime tells whole models' times alone."""
    if not session.profile.capabilities.layers:
        return []
    return list(chain.from_iterable(session.profile_layers(models, rounds=rounds)))


def _architecture(original: PrunableModel) -> str:
    """What decides the latency of a model's cuts: its code and its input, not its weights."""
    code = f"{source_of(original.model)}\n{shapes(original.example)}"
    return hashlib.sha256(code.encode()).hexdigest()[:16]
