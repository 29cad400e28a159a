"""Where a run starts from: the teacher, exported, judged and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import (
    DataError,
    MeasurementError,
    ModelError,
    RunFolderError,
    first_few,
)
from edgespiral.core.listener import say_all
from edgespiral.core.records.events import (
    Baseline,
    OnDevice,
)
from edgespiral.core.records.footprint import footprint_budgets
from edgespiral.core.records.measurement import (
    Interval,
    Ratio,
    differences,
)
from edgespiral.core.system.files import make_folder
from edgespiral.data.guard import sha256_of
from edgespiral.distill.evaluate import score
from edgespiral.export.parity import TURNED_SHARE
from edgespiral.export.precision import export_as, float_twin, validation_samples
from edgespiral.export.rebuilt import FreshProcess, check_rebuilt
from edgespiral.measure.beside.consumption import consumption_on
from edgespiral.measure.beside.limits import alike
from edgespiral.measure.decide import merged
from edgespiral.models.saved import SOURCE, check_computes, load_model, save_model
from edgespiral.models.work import flops_of
from edgespiral.prune.groups import widths_of
from edgespiral.prune.network import network_of
from edgespiral.report import console
from edgespiral.spiral.budget import Budgets
from edgespiral.spiral.doubts import doubts_about
from edgespiral.spiral.planning.pace import LEAST_ROUNDS, rounds_of
from edgespiral.spiral.sharing.baseline import shared_baseline, shared_folder, with_budgets
from edgespiral.spiral.shipping.judging import judged
from edgespiral.spiral.shipping.publishing import MODEL, hashes_of, judged_files, require_judged
from edgespiral.spiral.shipping.stages import stages_of
from edgespiral.spiral.turn import model_facts, whole_of
from edgespiral.tasks import is_built_in
from edgespiral.tasks.base import coarse_validation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.records.measurement import (
        Measurement,
    )
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.stages.latencies import Stages
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.session import Session
    from edgespiral.spiral.context import RunContext
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task

# Of a model that is slow, the first look tells how many are taken.
BASELINE_ROUNDS, LEAST_BASELINE_ROUNDS = 50, 10
# Operations of a pass from which a model may be slow.
HEAVY_FLOPS = 1e9
REBUILT_SAMPLES = 16
# Enough to learn what a device is.
PROBE_ROUNDS = 5
CHANGED = (
    "the validation samples are not, bit for bit, those that the run began with; the teacher's "
    "score on them is what it was"
)


def baseline_of(context: RunContext, fresh: FreshProcess) -> Baseline:
    """The teacher's record: the journal's, or a new one once it is exported, judged and measured.

    Raises:
        RunFolderError: the teacher's files, or its code, are not those that the journal is about.
        DataError: the validation split is not the one that the journal is about.
        MeasurementError: a device runs models otherwise than when the run began.
        ExportError: it cannot be exported, or the file or its source computes something else.
        ModelError, TargetError, MeasurementError: as `Session.measure`.
    """
    baselines = [event for event in context.journal.read() if isinstance(event, Baseline)]
    if baselines:
        _require_as_it_was(context, baselines[-1])
        say_all(context.listener, console.doubts(baselines[-1].doubts))
        return baselines[-1]
    folder = context.folder(0)
    with shared_baseline(shared_folder(context)) as shared:
        baseline = shared.take(folder) if shared else None
        if baseline is not None:
            baseline = with_budgets(baseline, context.plan)
            _require_as_it_was(context, baseline)
        else:
            with context.listener.steps("the teacher: exporting, scoring, measuring"):
                baseline = _measured(context, fresh)
            if shared:
                shared.give(baseline, folder)
    context.journal.append(baseline)
    metric = context.task.metric
    goal = goal_text(context.plan, budgets_of(context.plan.budgets, baseline), metric)
    say_all(context.listener, console.teacher(baseline, metric, goal))
    if metric.is_share and context.plan.max_drop >= baseline.teacher.validation_score:
        drop = f"{context.plan.max_drop:g} {metric.difference_unit}"
        context.listener.say(f"  no score is too low: --max-drop allows {drop}, which is all of it")
    return baseline


def _require_as_it_was(context: RunContext, baseline: Baseline) -> None:
    """Refuse a baseline that is not, any more, that of the teacher: all that follows needs it."""
    require_judged(context.folder(0), judged_files([baseline], 0))
    _require_same_code(context.teacher.model, context.splits, context.folder(0), baseline)
    _require_same_samples(context, baseline)
    _require_same_devices(context.fleet, context.folder(0) / MODEL, baseline)


def _measured(context: RunContext, fresh: FreshProcess) -> Baseline:
    folder, model = make_folder(context.folder(0)), context.teacher.model
    save_model(model, folder)
    base = context.precisions.base
    request = context.precisions.export_request(base, student=True, task=context.task)
    export_as(model, folder / MODEL, context.splits, request)
    check_source(fresh, folder, context.splits)
    onnx, validation = folder / MODEL, context.splits.validation
    files, task = hashes_of(folder), context.task
    expected = score(model, validation, task=task, precision="fp32")
    judgement = judged(onnx, context.file_scores, expected=expected)
    heavy = flops_of(model, context.teacher.example) > HEAVY_FLOPS
    measurements = context.fleet.each(lambda _, session: _latency(session, onnx, may_be_slow=heavy))
    facts = model_facts(model, onnx, precision=context.session.precision(onnx), score=judgement)
    # What was measured is what was scored, and still lies there.
    for measurement in measurements:
        require_judged(folder, files | {MODEL: measurement.model_sha256})
    plan = context.plan
    footprints = footprint_budgets(plan.size_mib, plan.parameters, facts)
    stages: Sequence[Stages | None] = [None for _ in measurements]
    if plan.timed != "network":
        stages = stages_of(context.fleet, onnx, context.splits, task)
    budget = Budgets.of(plan.budgets, measurements, facts, footprints, stages=stages)
    consumptions = consumption_on(context.fleet, onnx, plan)
    return Baseline(
        teacher=facts,
        widths=widths_of(context.teacher.groups),
        devices=tuple(
            OnDevice(
                budget_ms=own.latency_ms,
                measurement=measurement,
                speedup=no_speedup(),
                memory=beside.memory,
                energy=beside.energy,
                stages=own_stages,
                whole=whole_of(own_stages, measurement),
            )
            for own, measurement, beside, own_stages in zip(
                budget.each, measurements, consumptions, stages, strict=True
            )
        ),
        files=files,
        validation_sha256=sha256_of(validation),
        doubts=(
            *filter(None, [coarse_validation(task, len(validation))]),
            *doubts_about(model, context.splits, task, expected),
        ),
        footprints=footprints,
        network=network_of(context.teacher.model),
    )


def _latency(session: Session, onnx: Path, *, may_be_slow: bool) -> Measurement:
    rounds = LEAST_BASELINE_ROUNDS if may_be_slow else BASELINE_ROUNDS
    [latency] = session.measure([onnx], rounds=rounds)
    more = rounds_of(BASELINE_ROUNDS, latency.stats.p50_ms) - rounds
    # Fewer carry no interval of their own.
    if more < LEAST_ROUNDS:
        return latency
    return merged(latency, session.measure([onnx], rounds=more)[0])


def _require_same_code(
    model: nn.Module, splits: DataSplits, folder: Path, baseline: Baseline
) -> None:
    """Refuse a model whose weights are the teacher's, but whose code is another by now."""
    if SOURCE not in baseline.files:
        return
    try:
        check_computes(model, load_model(folder), first_inputs(splits))
    except ModelError as error:
        raise RunFolderError(
            "the model computes something else than the teacher that this run began with",
            where=str(folder / SOURCE),
            hint="put its code back as it was, or choose another --out",
        ) from error


def _require_same_samples(context: RunContext, baseline: Baseline) -> None:
    """Refuse data, or a task, by which the teacher has another score than it had.

    Samples that differ in their last bits, as another machine decodes and scales them, are said.
    """
    if baseline.validation_sha256 is None:
        return
    validation, task = context.splits.validation, context.task
    is_same = sha256_of(validation) == baseline.validation_sha256
    if is_same and is_built_in(task):
        return
    score_now = context.file_scores.of(context.folder(0) / MODEL)
    before = baseline.teacher.validation_score
    allowed = task.allowed_difference(before, len(validation), TURNED_SHARE["fp32"])
    if not abs(score_now - before) <= allowed:
        raise DataError(
            f"the teacher's {task.metric.name} is {task.metric.text(score_now)} there, and was "
            f"{task.metric.text(before)} when this run began: the samples{_or_task(task)} changed",
            where=f"{context.splits.name}: validation",
            hint="put them back as they were, or start another run with another --out",
        )
    if not is_same:
        say_all(context.listener, console.doubts([CHANGED]))


def _require_same_devices(fleet: Fleet, onnx: Path, baseline: Baseline) -> None:
    """Refuse devices that run models otherwise than when the budgets were set on them."""
    measurements = fleet.each(lambda _, session: session.measure([onnx], rounds=PROBE_ROUNDS)[0])
    for before, now in zip(timed(baseline), measurements, strict=True):
        changes = differences(before.fingerprint, now.fingerprint)
        if changes:
            raise MeasurementError(
                f"the teacher was measured otherwise when this run began: {first_few(changes)}",
                where=now.target,
                hint="set it back, or start another run with another --out",
            )


def _or_task(task: Task) -> str:
    return "" if is_built_in(task) else " or the task"


def budgets_of(latencies: Mapping[str, Mapping[str, float]], baseline: Baseline) -> Budgets:
    """What a run is to reach whose targets are asked for `latencies`, as in `Plan.budgets`."""
    devices = dict(zip(latencies, baseline.devices, strict=True))
    memory = {target: own.memory.limit_mib for target, own in devices.items() if own.memory}
    energy = {
        target: own.energy.limit_mj
        for target, own in devices.items()
        if own.energy and own.energy.limit_mj
    }
    return Budgets.of(
        latencies,
        timed(baseline),
        baseline.teacher,
        baseline.footprints,
        memory_mib=alike(memory, len(devices)),
        energy_mj=alike(energy, len(devices)),
        stages=[device.stages for device in baseline.devices],
    )


def goal_text(plan: Plan, budgets: Budgets, metric: Metric) -> str:
    """What a run is asked for, as a person would say it."""
    if not plan.is_quality_goal:
        return f"budget {budgets}"
    kind = "smallest" if plan.smallest else "fastest"
    return f"goal: the {kind} that loses at most {plan.max_drop:g} {metric.difference_unit}".strip()


def check_source(fresh: FreshProcess, folder: Path, splits: DataSplits) -> None:
    """That `model.py` and its weights are, for others, the model of `folder`'s ONNX file.

    Raises:
        ExportError: as `check_rebuilt`.
    """
    samples = validation_samples(splits, REBUILT_SAMPLES)
    onnx = folder / MODEL
    twin = float_twin(onnx)
    check_rebuilt(fresh, folder, twin if twin.is_file() else onnx, samples)


def timed(baseline: Baseline) -> list[Measurement]:
    """The teacher on every device."""
    return [device.measurement for device in baseline.devices]


def no_speedup() -> Ratio:
    """The teacher beside itself."""
    return Ratio(value=1.0, ci95=Interval(low=1.0, high=1.0))
