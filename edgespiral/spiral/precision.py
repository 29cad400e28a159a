"""The precision that a run's students ship in: asked for, or found by measuring the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgespiral.core.errors import EdgeSpiralError, UsageError
from edgespiral.core.records import PrecisionChosen, PrecisionTrial
from edgespiral.export.parity import file_accuracy
from edgespiral.export.precision import Asked, export_as

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.plan import Plan
    from edgespiral.core.profile import TargetProfile
    from edgespiral.core.recipe import Recipe
    from edgespiral.core.records import Baseline, Precision
    from edgespiral.export.int8 import Form
    from edgespiral.measure.session import Session
    from edgespiral.spiral.progress import Listener

CPU = "CPUExecutionProvider"
TRIAL_ROUNDS = 60
PARITY_SAMPLES = 64
# Of the points that may be lost: what rounding alone may take and leave enough to pruning.
SHARE_OF_DROP = 0.5


@dataclass(frozen=True)
class Precisions:
    """What a run may use: `wanted` by the plan or the target, and how int8 is made there."""

    wanted: Precision | Literal["auto"]
    possible: tuple[Precision, ...]
    recipe: Recipe
    form: Form

    @classmethod
    def of(cls, plan: Plan, profile: TargetProfile, recipe: Recipe) -> Precisions:
        """The plan's precision, or the target's own where the plan has none.

        Raises:
            UsageError: the target's runtime has no kernels for it.
        """
        possible = supported(profile)
        wanted = plan.precision or profile.runtime.precision
        if wanted != "auto" and wanted not in possible:
            raise UsageError(
                f"{profile.name} has no kernels for {wanted}",
                where="--precision",
                hint=f"it has: {', '.join(possible)}",
            )
        form: Form = "onnxruntime" if profile.runtime.provider == CPU else "tensorrt"
        return cls(wanted, possible, recipe, form)

    def asked(self, precision: Precision) -> Asked:
        """An export in `precision`, checked on `PARITY_SAMPLES` samples."""
        return Asked(precision, recipe=self.recipe, form=self.form, samples=PARITY_SAMPLES)

    def candidates(self) -> tuple[Precision, ...]:
        """The precisions to measure the teacher in, apart from fp32."""
        wanted = self.possible if self.wanted == "auto" else (self.wanted,)
        return tuple(precision for precision in wanted if precision != "fp32")


def supported(profile: TargetProfile) -> tuple[Precision, ...]:
    """The precisions that a target's runtime has kernels for.

    ONNX Runtime's CPU provider runs most fp16 layers in float32 between two conversions.
    """
    return ("fp32", "int8") if profile.runtime.provider == CPU else ("fp32", "fp16", "int8")


def choose(
    precisions: Precisions,
    teacher: nn.Module,
    splits: DataSplits,
    session: Session,
    baseline: Baseline,
    folder: Path,
    *,
    max_drop: float,
    listener: Listener,
) -> PrecisionChosen:
    """Make and measure the teacher in each precision in question, and say which one it is to be.

    With `auto` it is the fastest that is faster than fp32 for certain (its whole 95 % interval) and
    loses at most `SHARE_OF_DROP` of `max_drop`; a precision whose export fails is out.

    Args:
        folder: has the teacher's `model.onnx`.

    Raises:
        ExportError, DataError: the precision asked for cannot be had.
        MeasurementError, TargetError: the device did not answer.
    """
    trials = []
    for precision in precisions.candidates():
        try:
            path = folder / f"{precision}.onnx"
            export_as(teacher, path, splits, precisions.asked(precision))
        except EdgeSpiralError as error:
            if precisions.wanted != "auto":
                raise
            listener.say(f"  {precision} is out: {error}")
            continue
        trials.append(_trial(precision, path, splits, session, folder / "model.onnx"))
        listener.say(f"  teacher in {_told(trials[-1], baseline)}")
    if precisions.wanted != "auto":
        return PrecisionChosen(
            precision=precisions.wanted, reason="asked for", trials=tuple(trials)
        )
    return _best(trials, baseline, max_drop)


def _trial(
    precision: Precision, path: Path, splits: DataSplits, session: Session, reference: Path
) -> PrecisionTrial:
    [(measurement, speedup)] = session.compare(reference, [path], rounds=TRIAL_ROUNDS)
    return PrecisionTrial(
        precision=precision,
        validation_accuracy=file_accuracy(path, splits.validation),
        speedup=speedup,
        measurement=measurement,
    )


def _best(trials: list[PrecisionTrial], baseline: Baseline, max_drop: float) -> PrecisionChosen:
    least = baseline.teacher.validation_accuracy - SHARE_OF_DROP * max_drop
    good = [t for t in trials if t.speedup.ci95.low > 1 and t.validation_accuracy >= least]
    if not good:
        reason = "no lower precision is both faster and accurate enough"
        return PrecisionChosen(precision="fp32", reason=reason, trials=tuple(trials))
    best = max(good, key=lambda trial: trial.speedup.value)
    reason = f"the fastest that keeps {least:.2f} % on validation"
    return PrecisionChosen(precision=best.precision, reason=reason, trials=tuple(trials))


def _told(trial: PrecisionTrial, baseline: Baseline) -> str:
    lost = trial.validation_accuracy - baseline.teacher.validation_accuracy
    return (
        f"{trial.precision}: {trial.speedup.value:.2f}x, {trial.validation_accuracy:.2f} % "
        f"({lost:+.2f} points)"
    )
