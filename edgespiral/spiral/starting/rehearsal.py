"""`edgespiral compress --dry-run`: what a run would cut, time and train, and about how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral import tasks
from edgespiral.core.nested import count
from edgespiral.core.records.footprint import Footprint, footprint_budgets
from edgespiral.core.system.temporary import work_folder
from edgespiral.data import load
from edgespiral.distill.compute import on_device
from edgespiral.distill.own_training import training_of
from edgespiral.distill.settings import steps_of
from edgespiral.measure.fleet import Fleet
from edgespiral.models.work import parameter_count
from edgespiral.spiral.budget import Budgets
from edgespiral.spiral.planning.allocate import every_choice
from edgespiral.spiral.planning.importance import comparable, shown_samples
from edgespiral.spiral.planning.pace import PASSES_PER_GRADIENT, PASSES_PER_VARIANT, Pace
from edgespiral.spiral.planning.quality import MOST_STUDENTS
from edgespiral.spiral.run import load_teacher
from edgespiral.spiral.schedule import Schedule
from edgespiral.spiral.starting.checks import check_cutting, check_learning, on_targets
from edgespiral.spiral.starting.estimate import Part, Work, parts_of
from edgespiral.spiral.starting.fitting import (
    fitted,
    require_drop,
    shared_multiple,
    traced_teacher,
)
from edgespiral.spiral.starting.pieces import Trial
from edgespiral.spiral.student.precisions import measuring
from edgespiral.spiral.training import training_settings

if TYPE_CHECKING:
    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.plan import Plan
    from edgespiral.spiral.starting.pieces import Pieces

HALF = 0.5
FP32_BYTES = 4


@dataclass(frozen=True)
class Rehearsal:
    """What a run would do.

    Attributes:
        budgets: on each device, from the teacher's latency there.
        teacher_ms: that latency, in the targets' order.
        groups, channels: that can be cut, and how many channels they have together.
        work: how much is to be done.
        parts: how long that takes, estimated.
        left_out: what is not counted, a few words each.
    """

    budgets: Budgets
    teacher_ms: tuple[float, ...]
    groups: int
    channels: int
    work: Work
    parts: tuple[Part, ...]
    left_out: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(part.seconds for part in self.parts)


def rehearse(plan: Plan, listener: Listener) -> Rehearsal:
    """Check all that a run checks before it begins, and time one of each of its steps.

    Nothing is left behind, here or on a device: no run folder, no caches.

    Args:
        plan: of the run.
        listener: hears what can be cut.

    Raises:
        EdgeSpiralError: as the run would, at once.
    """
    training = training_of(plan.train)
    task = tasks.load(plan.task)
    profiles, _ = on_targets(plan, task)
    splits = load(plan.data)
    model = load_teacher(plan, splits, listener)
    with on_device(plan.device), work_folder() as work:
        require_drop(task.metric, plan.model_fields_set)
        model, splits, task = fitted(plan, model, splits, task, listener)
        teacher = traced_teacher(model, splits, listener)
        multiple = shared_multiple(plan.sparsity, profiles)
        check_cutting(plan, teacher, profiles, listener)
        check_learning(plan, teacher.model, training, splits, task)
        half = every_choice(teacher.groups, teacher.branches, multiple).at_share(HALF)
        settings = training_settings(plan, teacher.model, len(splits.train), task)
        steps = steps_of(settings, len(splits.train))
        trial = Trial(teacher, half, splits, task, settings, training, work)
        with (
            listener.steps("timing one of each step"),
            Fleet.of([measuring(profile) for profile in profiles]) as fleet,
        ):
            pieces = trial.pieces(fleet)
    return _rehearsed(plan, teacher, splits, pieces, steps)


def _rehearsed(
    plan: Plan, teacher: PrunableModel, splits: DataSplits, pieces: Pieces, steps: int
) -> Rehearsal:
    parameters = parameter_count(teacher.model)
    # Nothing was written, so the file is taken to be as large as its weights.
    footprint = Footprint(size_bytes=FP32_BYTES * parameters, parameter_count=parameters)
    sizes = footprint_budgets(plan.size_mib, plan.parameters, footprint)
    budgets = Budgets.of(
        plan.budgets,
        pieces.teacher,
        footprint,
        sizes,
        memory_mib=plan.memory_mib,
        energy_mj=plan.energy_mj,
    )
    teacher_ms = tuple(measurement.stats.p50_ms for measurement in pieces.teacher)
    turns = _turns(plan, budgets, teacher_ms)
    pace = Pace.of(teacher.model, teacher.example)
    compared = comparable(plan.epochs, len(splits.train), pace)
    work = Work(
        turns=turns,
        train=len(splits.train),
        validation=len(splits.validation),
        test=len(splits.test),
        steps=steps * turns if plan.is_quality_goal else steps,
        keeps_outputs=plan.epochs > 1 and not plan.shows_views,
        scored=_scored(teacher, splits, plan.epochs, plan.seed),
        compared=compared if plan.allocation == "latency" else 0,
        slowest_ms=max(teacher_ms),
        device_samples=plan.device_samples,
        finds_rate=plan.learning_rate is None,
    )
    return Rehearsal(
        budgets=budgets,
        teacher_ms=teacher_ms,
        groups=len(teacher.groups),
        channels=sum(group.channels for group in teacher.groups),
        work=work,
        parts=parts_of(pieces, work),
        left_out=tuple(_left_out(plan)),
    )


def _turns(plan: Plan, budgets: Budgets, teacher_ms: tuple[float, ...]) -> int:
    """As many as the budget furthest off needs, none where all are met; without any, at most."""
    if plan.is_quality_goal:
        return MOST_STUDENTS if plan.turns == "auto" else int(plan.turns)
    shares = [
        latency_ms / budget.latency_ms
        for latency_ms, budget in zip(teacher_ms, budgets.each, strict=True)
        if budget.latency_ms is not None
    ]
    furthest = max([*shares, *(share for _, share in budgets.footprints)])
    if furthest <= 1 and plan.sparsity == "none":
        return 0
    turns = 1 if plan.explored is not None else plan.turns
    return Schedule.plan(max(furthest, 1.0), 1.0, turns, plan.epochs).turns


def _scored(teacher: PrunableModel, splits: DataSplits, epochs: float, seed: int) -> float:
    """Passes forward, a sample each, that scoring a turn's channels and branches takes."""
    shown = shown_samples(epochs, teacher, splits.train, seed)
    variants = len(teacher.groups) + len(teacher.branches)
    gradients = sum(count(inputs) for inputs, _ in shown.for_scores)
    return (
        sum(map(count, shown.for_moments))
        + gradients * (1 + PASSES_PER_GRADIENT)
        + sum(map(count, shown.for_damage)) * (1 + PASSES_PER_VARIANT * variants)
    )


def _left_out(plan: Plan) -> list[str]:
    of_precision = plan.precision in ("int8", "auto")
    reasons = {
        "choosing a precision": plan.precision == "auto",
        "training with int8's rounding": of_precision and plan.qat != "never",
        "your own training": plan.train is not None,
        "the family's sibling": bool(plan.family),
        "passes of the model that teaches": plan.teacher_model is not None,
        "what runs around the network, which takes a part of the budget": plan.timed == "pipeline",
        "turns for the memory alone": plan.memory_mib is not None,
        "turns for the energy alone": plan.energy_mj is not None,
        "turns that are tried again": plan.max_drop < float("inf"),
    }
    return [words for words, is_so in reasons.items() if is_so]
