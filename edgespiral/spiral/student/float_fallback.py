"""Layers of an int8 model back to float until it is accurate enough, as few as it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.errors import ExportError
from edgespiral.core.records.exported import RestoredLayer
from edgespiral.core.system.temporary import work_folder
from edgespiral.export.int8.sensitivity import damages
from edgespiral.export.parity import LIMITS, FileScores, Reference
from edgespiral.export.precision import leaving_none
from edgespiral.measure.engine_files import require_timing
from edgespiral.measure.session import Session
from edgespiral.report import formats
from edgespiral.spiral.student.precisions import measuring, require_form

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from torch import Tensor

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.metric import Metric
    from edgespiral.export.int8.calibration import Calibrated
    from edgespiral.export.nearness import ParityLimits
    from edgespiral.measure.profile import TargetProfile

# Files that take turns with the one that they are compared with, in one measurement.
TIMED = 8
ROUNDS = 40


@dataclass(frozen=True)
class Restored:
    """The layers that went back to float, most damaging first, and the score with them.

    Attributes:
        holds: whether that is enough.
    """

    layers: tuple[RestoredLayer, ...]
    score: float
    holds: bool


@dataclass(frozen=True)
class FloatFallback:
    """What layers are put back for, and with what.

    Attributes:
        calibrated: the int8 model in the making.
        scores: of files, on validation.
        samples: inputs of batch 1, on which int8 is to be within `limits` of float.
        floor: validation score to reach.
        session: on the target, where the cost of float is measured.
    """

    calibrated: Calibrated
    scores: FileScores
    samples: Sequence[Tensor]
    floor: float
    session: Session
    listener: Listener
    limits: ParityLimits = LIMITS["int8"]

    def run(self) -> Restored:
        """As few layers in float as are found to be enough, or the best that was seen.

        The layers are ordered by what their rounding does alone; of those most damaging as few as
        hold the floor go back, by bisection. Where even the least damaging layer alone is too much,
        the others are tried. Then each that turns out not to be needed is taken back into int8,
        first the one whose float costs most on the target. At least one layer stays in int8.

        Raises:
            ExportError: a file cannot be written or run.
            MeasurementError, TargetError: the device did not answer.
        """
        with self.listener.steps("rounding's damage by layer") as advance:
            damage_nats = dict(damages(self.calibrated, advance))
        with work_folder() as folder:
            trials = _Trials(self, folder, tuple(damage_nats))
            enough = trials.enough()
            if enough is None:
                chosen, cost_ms = trials.best(), dict.fromkeys(damage_nats, 0.0)
            else:
                cost_ms = self._costs_ms(enough, folder)
                chosen = trials.needed(enough, cost_ms)
            layers = trials.with_gains(chosen, damage_nats, cost_ms)
            return Restored(layers, trials.score(chosen), enough is not None)

    def _costs_ms(self, layers: Collection[str], folder: Path) -> dict[str, float]:
        """What float costs each of `layers`, in ms, while the others of them are in float too."""
        whole, order = folder / "whole.onnx", sorted(layers)
        self.calibrated.write(whole, order)
        costs_ms: dict[str, float] = {}
        for at in range(0, len(order), TIMED):
            chunk = order[at : at + TIMED]
            files = [folder / f"{number}.onnx" for number in range(len(chunk))]
            for layer, file in zip(chunk, files, strict=True):
                self.calibrated.write(file, [other for other in order if other != layer])
            measured = self.session.compare(whole, files, rounds=ROUNDS)
            # In pairs, which a drift of the machine does not touch.
            for layer, (measurement, ratio) in zip(chunk, measured, strict=True):
                costs_ms[layer] = measurement.stats.p50_ms * (ratio.value - 1)
        return costs_ms


class _Trials:
    """Sets of layers in float, each tried once.

    Args:
        order: all layers, the most damaging first.
    """

    def __init__(self, fallback: FloatFallback, folder: Path, order: tuple[str, ...]) -> None:
        self._fallback, self._path, self._order = fallback, folder / "trial.onnx", order
        calibrated = fallback.calibrated
        self._reference = Reference(calibrated.source, fallback.samples, calibrated.task)
        self._metric = calibrated.task.metric
        self._results: dict[frozenset[str], tuple[float, bool]] = {}

    def score(self, layers: Collection[str]) -> float:
        """The score on validation with `layers` in float."""
        return self._try(layers)[0]

    def enough(self) -> frozenset[str] | None:
        """Layers that are enough; None where all but one never are."""
        order, most = self._order, len(self._order) - 1
        # Of the most damaging, so many are too few and so many are enough.
        too_few, enough = 0, most
        if most < 1:
            return None
        if not self._holds(order[:most]):
            return self._all_but_one()
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if self._holds(order[:middle]):
                enough = middle
            else:
                too_few = middle
        return frozenset(order[:enough])

    def _all_but_one(self) -> frozenset[str] | None:
        """All layers but the least damaging one that may be in int8."""
        sets = (frozenset(self._order) - {layer} for layer in reversed(self._order))
        return next((layers for layers in sets if self._holds(layers)), None)

    def needed(self, layers: frozenset[str], cost_ms: dict[str, float]) -> frozenset[str]:
        """Those of `layers` without any of which the rest would not be enough."""
        for layer in sorted(layers, key=lambda name: -cost_ms[name]):
            if self._holds(layers - {layer}):
                layers = layers - {layer}
        return layers

    def best(self) -> frozenset[str]:
        """The most accurate that was tried and is near enough; of equals, the fewest layers."""
        results = {**self._results, frozenset(): self._try(())}
        rank = self._metric.rank
        return max(
            results, key=lambda layers: (results[layers][1], rank(results[layers][0]), -len(layers))
        )

    def with_gains(
        self, chosen: frozenset[str], damage_nats: dict[str, float], cost_ms: dict[str, float]
    ) -> tuple[RestoredLayer, ...]:
        """The records of `chosen`, with what each won after those before it; they are told too."""
        layers: list[RestoredLayer] = []
        done: frozenset[str] = frozenset()
        for name in (name for name in self._order if name in chosen):
            gain = self._metric.lost(self.score(done | {name}), self.score(done))
            done |= {name}
            layers.append(
                RestoredLayer(
                    layer=name,
                    damage_nats=damage_nats[name],
                    cost_ms=cost_ms[name],
                    score_gain=gain,
                )
            )
            self._fallback.listener.say(f"  in float: {formats.restored(layers[-1], self._metric)}")
        return tuple(layers)

    def _holds(self, layers: Collection[str]) -> bool:
        score, is_near = self._try(layers)
        return is_near and self._metric.holds(score, self._fallback.floor)

    def _try(self, layers: Collection[str]) -> tuple[float, bool]:
        """The score, and whether the outputs are near enough to float's."""
        key = frozenset(layers)
        if key not in self._results:
            calibrated = self._fallback.calibrated
            calibrated.write(self._path, key)
            score = self._fallback.scores.of(self._path)
            is_near = self._reference.is_near(self._path, self._fallback.limits)
            self._results[key] = score, is_near
        return self._results[key]


@dataclass(frozen=True)
class FallbackOutcome:
    """Validation scores, and what it took to keep the second near the first."""

    float_score: float
    score: float
    restored: tuple[RestoredLayer, ...]


def hold(
    calibrated: Calibrated,
    path: Path,
    validation: BatchSource,
    max_drop: float,
    *,
    samples: Sequence[Tensor],
    profile: TargetProfile,
    listener: Listener,
) -> FallbackOutcome:
    """Write the int8 file `path` with as many layers in float as it takes to lose `max_drop`.

    It is within the limits of int8 on `samples` too, as every int8 export has to be.

    Args:
        max_drop: what of the validation score may be lost against the float file.
        samples: inputs of batch 1.
        profile: the target, on which the cost of float is measured if any is needed.

    Raises:
        UsageError: the target runs another form of int8 files.
        ExportError: even a single layer in int8 loses more, or a file cannot be written or run;
            nothing is left at `path` then.
        MeasurementError, TargetError: the device did not answer.
    """
    require_timing(profile)
    require_form(profile, calibrated.form)
    with leaving_none(path):
        calibrated.write(path)
        task, metric = calibrated.task, calibrated.task.metric
        scores = FileScores(validation, task)
        before, score = (scores.of(file) for file in (calibrated.source, path))
        floor = metric.floor(before, max_drop)
        is_near = Reference(calibrated.source, samples, task).is_near(path)
        if metric.holds(score, floor) and is_near:
            return FallbackOutcome(before, score, ())
        wanted = f"{metric.text(floor)} are wanted" + (
            "" if is_near else ", and outputs like float's"
        )
        listener.say(f"int8 has {metric.text(score)} of {metric.text(before)}, {wanted}")
        with Session(measuring(profile)) as session:
            restored = FloatFallback(calibrated, scores, samples, floor, session, listener).run()
        if not restored.holds:
            raise _out_of_reach(path, restored, floor, metric)
        calibrated.write(path, [layer.layer for layer in restored.layers])
        return FallbackOutcome(before, restored.score, restored.layers)


def _out_of_reach(path: Path, best: Restored, floor: float, metric: Metric) -> ExportError:
    is_far = metric.holds(best.score, floor)
    wanted = (
        "its outputs are too far from float's" if is_far else f"{metric.text(floor)} are wanted"
    )
    return ExportError(
        f"int8 has {metric.text(best.score)} with up to all layers but one in float, {wanted}",
        where=str(path),
        hint="allow a larger --max-drop, try another recipe, or keep the float model",
    )
