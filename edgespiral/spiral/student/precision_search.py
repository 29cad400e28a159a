"""Cuts to the budget in several precisions, so that `auto` can compare what they lose."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from edgespiral.core.listener import say_all
from edgespiral.core.records.events import Candidate, PrecisionChosen
from edgespiral.core.records.footprint import Footprint, FootprintBudget
from edgespiral.core.records.precisions import PrecisionMix
from edgespiral.core.system.temporary import claim_folder, remove_claimed
from edgespiral.measure.model_files import timed_bytes
from edgespiral.report import console
from edgespiral.spiral.context import Stopwatch
from edgespiral.spiral.planning.footprints import Footprints, ParameterCounts
from edgespiral.spiral.planning.latencies import Device
from edgespiral.spiral.planning.planner import OutOfReach, Planner
from edgespiral.spiral.planning.quality import FIRST_SHARE
from edgespiral.spiral.student.precision import choose, teacher_trial
from edgespiral.spiral.student.sparsity import planned_multiple

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.core.records.events import Baseline
    from edgespiral.core.records.precisions import PrecisionTrial
    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.spiral.budget import Budgets
    from edgespiral.spiral.context import Parent, RunContext
    from edgespiral.spiral.student.parent import Parents

# Where their files lie during a run.
CANDIDATES = "candidates"


@dataclass
class Planners:
    """One planner a precision; each learns of the device in its own.

    `goal_ms` is where the run is to get, as `Budgets.goal_ms`.
    """

    context: RunContext
    baseline: Baseline
    parents: Parents
    goal_ms: float
    _planners: dict[Precision, Planner] = field(init=False, default_factory=dict)
    _teacher: Parent | None = field(init=False, default=None)

    def planner(self, precision: Precision, start_ms: float) -> Planner:
        """That of `precision`, in which the uncut model takes `start_ms` on the first device."""
        if precision not in self._planners:
            self._planners[precision] = self._new(precision, start_ms)
        return self._planners[precision]

    def settled(self, budget: Budgets) -> Planner:
        """That of the precision that students ship in, which the journal has from then on.

        Raises:
            As `choose` and `Planner.plan`.
        """
        context = self.context
        earlier = [event for event in context.journal.read() if isinstance(event, PrecisionChosen)]
        chosen = earlier[-1] if earlier else self._choose(budget)
        teacher_ms = self.baseline.devices[0].measurement.stats.p50_ms
        speedups = {trial.precision: trial.speedup.value for trial in chosen.trials}
        return self.planner(chosen.precision, teacher_ms / speedups.get(chosen.precision, 1.0))

    def _choose(self, budget: Budgets) -> PrecisionChosen:
        context = self.context
        chosen = choose(
            context.precisions,
            partial(teacher_trial, context, self.baseline),
            partial(self.mix, budget),
        )
        say_all(context.listener, console.precision(chosen))
        context.journal.append(chosen)
        return chosen

    def teacher(self, watch: Stopwatch) -> Parent:
        """The teacher as the first turn's parent, made and scored once."""
        if self._teacher is None:
            self._teacher = self.parents.parent(0, self.context.teacher, watch, next_turn=1)
        return self._teacher

    def mix(self, budget: Budgets, trial: PrecisionTrial | None) -> PrecisionMix:
        """The cut to `budget` in one step in the precision of `trial`, or unconverted.

        Raises:
            As `Planner.plan`.
        """
        teacher_ms = self.baseline.devices[0].measurement.stats.p50_ms
        precision = trial.precision if trial else self.context.precisions.base
        rounding_nats = trial.rounding_nats if trial else 0.0
        planner = self.planner(precision, teacher_ms / (trial.speedup.value if trial else 1.0))
        parent = self.teacher(Stopwatch())
        planned = planner.plan(
            1,
            parent.source,
            parent.importance,
            # Where there is no budget, what a first student would be cut to.
            target_ms=(FIRST_SHARE if self.context.plan.is_quality_goal else 1.0) * budget.goal_ms,
            allocation=self.context.plan.allocation,
        )
        if isinstance(planned, OutOfReach):
            latency_ms, widths, cut_nats = planned.fastest_ms, {}, None
        else:
            latency_ms, widths, cut_nats = (
                planned.latency_ms,
                dict(planned.widths),
                planned.importance_lost,
            )
        mix = PrecisionMix(
            precision=precision,
            latency_ms=None if planner.footprints else latency_ms,
            widths=widths,
            cut_nats=cut_nats,
            rounding_nats=rounding_nats,
        )
        say_all(self.context.listener, console.mix(mix))
        return mix

    def close(self) -> None:
        """Remove the candidates' files."""
        remove_claimed(self._work)

    @property
    def _work(self) -> Path:
        return self.context.out / CANDIDATES

    def _new(self, precision: Precision, start_ms: float) -> Planner:
        context = self.context
        planner = Planner(
            original=context.teacher,
            fleet=context.fleet,
            devices=self._devices(start_ms),
            journal=context.journal,
            teacher_onnx=context.teacher_onnx,
            work=claim_folder(self._work) / precision,
            seed=context.plan.seed,
            precision=precision,
            written=context.precisions.written(precision),
            form=context.precisions.form,
            caches=context.caches(self.baseline),
            two_four=context.sparse_kernels == "on",
            footprints=self._footprints(precision),
            parts=context.task.parts,
        )
        planner.recall([event for event in context.journal.read() if isinstance(event, Candidate)])
        return planner

    def _multiple(self, profile: TargetProfile) -> int:
        return planned_multiple(self.context.plan.sparsity, profile.device.channel_multiple)

    def _devices(self, start_ms: float) -> list[Device]:
        teachers, goal_ms = self.baseline.devices, self.goal_ms
        for_speed = self.context.plan.is_for_speed
        teacher_ms = [device.measurement.stats.p50_ms for device in teachers]
        # Runs of several devices have one precision, that of the teacher.
        uncut_ms = [start_ms, *teacher_ms[1:]]
        parts = zip(self.context.fleet.profiles, teachers, teacher_ms, uncut_ms, strict=True)
        return [
            Device(
                profile.name,
                own_ms,
                device.budget_ms or goal_ms * own_ms / teacher_ms[0],
                self._multiple(profile),
                own_uncut_ms,
                is_budgeted=device.budget_ms is not None or for_speed,
            )
            for profile, device, own_ms, own_uncut_ms in parts
        ]

    def _footprints(self, precision: Precision) -> Footprints | None:
        budgets, teacher = self.baseline.footprints, self.baseline.teacher
        if self.context.plan.smallest:  # as large as the teacher is the unit, and no budget
            budgets = (FootprintBudget(kind="size", limit=teacher.size_bytes),)
        if not budgets:
            return None
        original = self.context.teacher
        # What `teacher_trial` has made of the teacher, or the teacher itself.
        converted = self.context.folder(0) / f"{precision}.onnx"
        is_base = precision == self.context.precisions.base or not converted.is_file()
        size_bytes = teacher.size_bytes if is_base else timed_bytes(converted)
        return Footprints(
            budgets,
            ParameterCounts(original.model, original.groups),
            Footprint(size_bytes=size_bytes, parameter_count=teacher.parameter_count),
            self.context.precisions.written(precision),
        )
