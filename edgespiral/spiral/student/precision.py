"""The precision that a run's students ship in: asked for, or found by measuring on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import ExportError
from edgespiral.core.listener import say_all
from edgespiral.core.records.events import PrecisionChosen
from edgespiral.core.records.precisions import PrecisionTrial
from edgespiral.export.parity import divergence_nats
from edgespiral.export.precision import export_as
from edgespiral.report import console, formats
from edgespiral.spiral.shipping.on_device import check_on_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgespiral.core.records.events import Baseline
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.precisions import PrecisionMix
    from edgespiral.core.records.schema import Precision
    from edgespiral.spiral.context import RunContext
    from edgespiral.spiral.student.precisions import Precisions

    Mixed = Callable[[PrecisionTrial | None], PrecisionMix]

TRIAL_ROUNDS = 60
ROUNDING_SAMPLES = 256
# Of the points that may be lost: what rounding alone may take and leave enough to pruning.
SHARE_OF_DROP = 0.5


def choose(
    precisions: Precisions,
    trial_in: Callable[[Precision], PrecisionTrial | None],
    mixed: Mixed,
) -> PrecisionChosen:
    """Make and measure the teacher in each precision in question, and say which one it is to be.

    `auto` compares cuts to the budget in every precision that is faster than fp32 for certain (its
    whole 95 % interval) and costs at most `SHARE_OF_DROP` of the points that may be lost, and takes
    the one where cutting and rounding lose least together.

    Args:
        precisions: that the run may use.
        trial_in: makes and measures the teacher in a precision, as `teacher_trial`.
        mixed: plans the cut to the budget in a trial's precision, or in fp32.

    Raises:
        ExportError, DataError: the precision asked for cannot be had.
        MeasurementError, TargetError: the device did not answer.
    """
    wanted = precisions.wanted
    trials = [trial for p in precisions.candidates() if (trial := trial_in(p))]
    if wanted != "auto":
        return PrecisionChosen(precision=wanted, reason="asked for", trials=tuple(trials))
    good = [trial for trial in trials if trial.refused is None]
    if not good:
        reason = "no lower precision is both faster and accurate enough"
        return PrecisionChosen(precision=precisions.base, reason=reason, trials=tuple(trials))
    mixes = [mixed(trial) for trial in (None, *good)]
    best, reason = _least_lost(mixes)
    return PrecisionChosen(
        precision=best.precision, reason=reason, trials=tuple(trials), mixes=tuple(mixes)
    )


def teacher_trial(
    context: RunContext, baseline: Baseline, precision: Precision
) -> PrecisionTrial | None:
    """The teacher in `precision`; None where it cannot be had and `auto` may do without it.

    Raises:
        ExportError: it cannot be had, and the plan asks for it.
        MeasurementError, TargetError: the device did not answer.
    """
    folder = context.folder(0)
    path = folder / f"{precision}.onnx"
    request = context.precisions.export_request(precision, student=False, task=context.task)
    try:
        export_as(context.teacher.model, path, context.splits, request)
        # A device that computes otherwise is found before anything is trained for it.
        check = check_on_device(
            context.session, path, context.splits, context.plan.device_samples, context.task
        )
        validation_score = context.file_scores.of(path)
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
        validation_score=validation_score,
        speedup=speedup,
        rounding_nats=divergence_nats(
            reference, path, context.splits.train, ROUNDING_SAMPLES, context.task
        ),
        measurement=measurement,
    )
    metric = context.task.metric
    plan = context.plan
    refused = _refused(trial, baseline, plan.max_drop, metric, for_speed=plan.is_for_speed)
    trial = trial.model_copy(update={"refused": refused})
    say_all(context.listener, console.trial(trial, baseline, metric))
    return trial


def _refused(
    trial: PrecisionTrial,
    baseline: Baseline,
    max_drop: float,
    metric: Metric,
    *,
    for_speed: bool,
) -> str | None:
    least = metric.floor(baseline.teacher.validation_score, SHARE_OF_DROP * max_drop)
    if for_speed and trial.speedup.ci95.low <= 1:
        return "not faster for certain"
    if not metric.holds(trial.validation_score, least):
        return f"worse than {metric.text(least)} by rounding alone"
    return None


def _least_lost(mixes: Sequence[PrecisionMix]) -> tuple[PrecisionMix, str]:
    reaching = [(mix.lost_nats, mix) for mix in mixes if mix.lost_nats is not None]
    if not reaching:
        latencies = {m.precision: m.latency_ms for m in mixes if m.latency_ms is not None}
        if not latencies:
            return mixes[-1], "the smallest; none meets the budget"
        fastest = min(latencies, key=lambda precision: latencies[precision])
        best = next(mix for mix in mixes if mix.precision == fastest)
        return best, "the fastest; none meets the budget"
    lost, best = min(reaching, key=lambda pair: pair[0])
    others = len(mixes) - len(reaching)
    out = f", {others} cannot meet the budget" if others else ""
    return best, f"loses least by cutting and rounding together: {lost:.3g} nats{out}"
