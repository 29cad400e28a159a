"""The precision that a run's students ship in: asked for, or found by measuring on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgespiral.core.errors import ExportError, UsageError
from edgespiral.core.records import PrecisionChosen, PrecisionTrial
from edgespiral.export.parity import divergence_nats, file_score
from edgespiral.export.precision import PARITY_SAMPLES, Asked, export_as
from edgespiral.measure.profile import AndroidProfile, OnnxRuntimeProfile, TensorRtProfile
from edgespiral.report import formats
from edgespiral.spiral.on_device import check_on_device
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.metric import Metric
    from edgespiral.core.records import Baseline, PrecisionMix
    from edgespiral.core.schema import Precision
    from edgespiral.export.int8.convert import Form
    from edgespiral.export.recipe import Recipe
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.spiral.context import (
        RunContext,
    )
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task

    Mixed = Callable[[PrecisionTrial | None], PrecisionMix]

CPU = "CPUExecutionProvider"
TRIAL_ROUNDS = 60
ROUNDING_SAMPLES = 256
# Of the points that may be lost: what rounding alone may take and leave enough to pruning.
SHARE_OF_DROP = 0.5


@dataclass(frozen=True)
class Precisions:
    """What a run may use.

    Attributes:
        wanted: by the plan, or by the target where the plan has none.
        base: that the device runs an unconverted file in.
        possible: those that the device's runtime has kernels for, `base` first.
        recipe: how int8 is calibrated.
        form: of int8 files for the runtime.
    """

    wanted: Precision | Literal["auto"]
    base: Precision
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
                f"{wanted} is not to be had on {profile.name}",
                where="--precision" if plan.precision else f"{profile.name}:runtime.precision",
                hint=f"its runtime gains by: {', '.join(possible)}",
            )
        return cls(wanted, possible[0], possible, recipe, form_of(profile))

    @classmethod
    def shared(cls, plan: Plan, profiles: Sequence[TargetProfile], recipe: Recipe) -> Precisions:
        """As `of`; several targets share the float file that each runs in its own way.

        Raises:
            UsageError: as `of`, or several targets and a precision that a file is converted to.
        """
        each = [cls.of(plan, profile, recipe) for profile in profiles]
        for profile, one in zip(profiles, each, strict=True):
            if len(each) > 1 and one.wanted != one.base:
                own = (
                    f'set precision = "{one.base}" there' if not plan.precision else "leave it out"
                )
                raise UsageError(
                    f"{one.wanted} is for runs of one target",
                    where="--precision" if plan.precision else f"{profile.name}:runtime.precision",
                    hint=f"{own}, or start a run for each target",
                )
        return each[0]

    def written(self, precision: Precision) -> Precision:
        """That the file has for the device to run in `precision`."""
        return "fp32" if precision == self.base else precision

    def asked(self, precision: Precision, *, student: bool, task: Task = CLASSIFICATION) -> Asked:
        """An export for `precision`, checked on `PARITY_SAMPLES` samples."""
        return Asked(
            self.written(precision),
            recipe=self.recipe,
            form=self.form,
            samples=PARITY_SAMPLES,
            known_data=student,
            task=task,
        )

    def candidates(self) -> tuple[Precision, ...]:
        """The precisions to try the teacher in, apart from `base`."""
        wanted = self.possible if self.wanted == "auto" else (self.wanted,)
        return tuple(precision for precision in wanted if precision != self.base)


def supported(profile: TargetProfile) -> tuple[Precision, ...]:
    """The precisions that a target's runtime has kernels for, that of unconverted files first.

    ONNX Runtime's CPU provider runs most fp16 layers in float32 between two conversions. TensorRT
    makes fp16 of fp32 files itself, where the target asks for it, unless they are strongly typed.
    """
    if _on_cpu(profile):
        return ("fp32", "int8")
    runtime = profile.runtime
    if isinstance(runtime, TensorRtProfile) and not runtime.strongly_typed:
        return ("fp32" if runtime.precision == "fp32" else "fp16", "int8")
    return ("fp32", "fp16", "int8")


def form_of(profile: TargetProfile) -> Form:
    """The form of int8 files that a target is quick with."""
    return "onnxruntime" if _on_cpu(profile) else "tensorrt"


def require_form(profile: TargetProfile, form: Form) -> None:
    """Refuse a target that runs another form of int8 files.

    Raises:
        UsageError: it does.
    """
    if form_of(profile) != form:
        raise UsageError(
            f"{profile.name} runs the {form_of(profile)} form, this is {form}",
            where="--target",
            hint="name a target of that runtime, or another --runtime",
        )


def measuring(profile: TargetProfile) -> TargetProfile:
    """The target as a run measures on it: with a teacher in float beside students in int8."""
    if profile.runtime.precision != "int8":
        return profile
    runtime = profile.runtime.model_copy(update={"precision": supported(profile)[0]})
    return profile.model_copy(update={"runtime": runtime})


def _on_cpu(profile: TargetProfile) -> bool:
    runtime = profile.runtime
    return isinstance(runtime, OnnxRuntimeProfile | AndroidProfile) and runtime.provider == CPU


def choose(context: RunContext, baseline: Baseline, mixed: Mixed) -> PrecisionChosen:
    """Make and measure the teacher in each precision in question, and say which one it is to be.

    `auto` compares cuts to the budget in every precision that is faster than fp32 for certain (its
    whole 95 % interval) and costs at most `SHARE_OF_DROP` of the points that may be lost, and takes
    the one where cutting and rounding lose least together.

    Args:
        mixed: plans the cut to the budget in a trial's precision, or in fp32.

    Raises:
        ExportError, DataError: the precision asked for cannot be had.
        MeasurementError, TargetError: the device did not answer.
    """
    wanted = context.precisions.wanted
    trials = [
        trial for p in context.precisions.candidates() if (trial := _trial(context, baseline, p))
    ]
    if wanted != "auto":
        return PrecisionChosen(precision=wanted, reason="asked for", trials=tuple(trials))
    good = [trial for trial in trials if trial.refused is None]
    if not good:
        reason = "no lower precision is both faster and accurate enough"
        base = context.precisions.base
        return PrecisionChosen(precision=base, reason=reason, trials=tuple(trials))
    mixes = [mixed(trial) for trial in (None, *good)]
    best, reason = _least_lost(mixes)
    return PrecisionChosen(
        precision=best.precision, reason=reason, trials=tuple(trials), mixes=tuple(mixes)
    )


def _trial(context: RunContext, baseline: Baseline, precision: Precision) -> PrecisionTrial | None:
    """The teacher in `precision`; None where it cannot be had and `auto` may do without it."""
    folder = context.folder(0)
    path = folder / f"{precision}.onnx"
    asked = context.precisions.asked(precision, student=False, task=context.task)
    try:
        export_as(context.teacher.model, path, context.splits, asked)
        # A device that computes otherwise is found before anything is trained for it.
        check = check_on_device(
            context.session, path, context.splits, context.plan.device_samples, context.task
        )
    except ExportError as error:
        if context.precisions.wanted != "auto":
            raise
        context.listener.say(f"  {precision} is out: {error}")
        return None
    context.listener.say(f"  {precision}: {formats.device_check(check, context.task.metric)}")
    reference = folder / "model.onnx"
    [(measurement, speedup)] = context.session.compare(reference, [path], rounds=TRIAL_ROUNDS)
    trial = PrecisionTrial(
        precision=precision,
        validation_accuracy=file_score(path, context.splits.validation, context.task),
        speedup=speedup,
        rounding_nats=divergence_nats(
            reference, path, context.splits.train, ROUNDING_SAMPLES, context.task
        ),
        measurement=measurement,
    )
    metric = context.task.metric
    refused = _refused(trial, baseline, context.plan.max_drop, metric)
    trial = trial.model_copy(update={"refused": refused})
    context.listener.say(f"  teacher in {_told(trial, baseline, metric)}")
    return trial


def _refused(
    trial: PrecisionTrial, baseline: Baseline, max_drop: float, metric: Metric
) -> str | None:
    least = metric.floor(baseline.teacher.validation_accuracy, SHARE_OF_DROP * max_drop)
    if trial.speedup.ci95.low <= 1:
        return "not faster for certain"
    if not metric.holds(trial.validation_accuracy, least):
        return f"worse than {metric.text(least)} by rounding alone"
    return None


def _least_lost(mixes: Sequence[PrecisionMix]) -> tuple[PrecisionMix, str]:
    reaching = [(mix.lost_nats, mix) for mix in mixes if mix.lost_nats is not None]
    if not reaching:
        return min(mixes, key=lambda mix: mix.latency_ms), "the fastest; none meets the budget"
    lost, best = min(reaching, key=lambda pair: pair[0])
    others = len(mixes) - len(reaching)
    out = f", {others} cannot meet the budget" if others else ""
    return best, f"loses least by cutting and rounding together: {lost:.3g} nats{out}"


def _told(trial: PrecisionTrial, baseline: Baseline, metric: Metric) -> str:
    before, after = baseline.teacher.validation_accuracy, trial.validation_accuracy
    out = f": {trial.refused}" if trial.refused else ""
    return (
        f"{trial.precision}: {trial.speedup.value:.2f}x, {metric.text(after)} "
        f"({metric.difference(before, after)}){out}"
    )
