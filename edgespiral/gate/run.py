"""A suite, measured and judged model by model."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from edgespiral.core.errors import MeasurementError, ModelError
from edgespiral.core.records.measurement import Verdict
from edgespiral.core.records.schema import now_utc
from edgespiral.core.system.versions import versions
from edgespiral.gate.baseline import check_comparable
from edgespiral.gate.checks import Limits, judge, samples_of
from edgespiral.gate.git import commit
from edgespiral.gate.interface import check_same, interface
from edgespiral.gate.records import BenchResult, CaseResult, Reference, gravest
from edgespiral.gate.sampling import Sampling, sample, sample_baseline
from edgespiral.gate.suite import model_file
from edgespiral.measure.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgespiral.gate.reference import Counterpart
    from edgespiral.gate.suite import Case, Suite
    from edgespiral.measure.profile import TargetProfile

# Errors of one model, which leave the others to be judged.
OWN_ERRORS = (ModelError, MeasurementError)
# Enough to learn what the device is before time is spent on it.
PROBE_ROUNDS = 5


@dataclass(frozen=True)
class Gate:
    """How a suite is measured.

    Attributes:
        suite: the models and limits.
        path: the suite's file; models lie relative to it.
        profile: the target.
        find_counterpart: finds what a model is compared with; None to judge budgets alone.
        for_baseline: measure in many processes, for a baseline that later runs compare with.
        command: that asked for it, quoted for a shell.
    """

    suite: Suite
    path: Path
    profile: TargetProfile
    find_counterpart: Callable[[Case], Counterpart | None] | None = None
    for_baseline: bool = False
    command: str = ""

    def run(self, heard: Callable[[CaseResult], None] = lambda _: None) -> BenchResult:
        """Measure and judge every model; `heard` is told each as it is done.

        A model that cannot be measured has an error in its place.

        Raises:
            UsageError: the stored baseline is of another device or setting.
            TargetError: the target cannot be used.
        """
        cases = []
        for case in self.suite.models:
            cases.append(self._case(case))
            heard(cases[-1])
        git_commit, git_dirty = commit(self.path.parent)
        return BenchResult(
            suite=self.suite.name,
            target=self.profile.name,
            verdict=gravest([case.verdict for case in cases]),
            cases=tuple(cases),
            git_commit=git_commit,
            git_dirty=git_dirty,
            versions=versions(),
            command=self.command,
            finished_at=now_utc(),
        )

    def _case(self, case: Case) -> CaseResult:
        start = perf_counter()
        fields: dict[str, object] = {
            "name": case.title,
            "model": case.path,
            "shapes": case.input_shapes,
        }
        try:
            fields |= self._measured(case)
        except OWN_ERRORS as error:
            fields |= {"verdict": Verdict.ERROR, "error": str(error)}
        return CaseResult.model_validate({**fields, "seconds": perf_counter() - start})

    def _measured(self, case: Case) -> dict[str, object]:
        file = model_file(self.path, case)
        face = interface(file)
        counterpart = self.find_counterpart(case) if self.find_counterpart else None
        if counterpart and not case.allow_interface_change:
            check_same(counterpart.interface(), face, where=str(file))
        with Session(self.profile, shapes=case.input_shapes) as session:
            sampling = self._sampled(session, case, file, counterpart)
        verdicts = [check.verdict for check in sampling.checks] or [Verdict.MEASURED]
        return {
            "verdict": gravest(verdicts),
            "interface": face,
            "measurement": sampling.measurements[-1],
            "processes": sampling.samples[-1].processes,
            "reference": _reference(counterpart, sampling) if counterpart else None,
            "is_new": self.find_counterpart is not None and counterpart is None,
            "checks": sampling.checks,
        }

    def _sampled(
        self, session: Session, case: Case, file: Path, counterpart: Counterpart | None
    ) -> Sampling:
        limits = self._limits(case)
        if self.for_baseline:
            sampling = sample_baseline(session, file)
            sampling.checks = judge(limits, sampling.samples[-1], None)
            return sampling
        stored = counterpart.reference() if counterpart else None
        if counterpart and counterpart.stored:
            [probe] = session.measure([file], rounds=PROBE_ROUNDS)
            check_comparable(counterpart.label, counterpart.stored, case.input_shapes, probe)
        return sample(
            session,
            [counterpart.file, file] if counterpart and counterpart.file else [file],
            limits,
            baseline=samples_of(stored) if stored else None,
            time_limit_s=self.suite.time_limit_s,
        )

    def _limits(self, case: Case) -> Limits:
        tolerances = (self.suite.tolerance(case), self.suite.tail_tolerance(case))
        return Limits(case.budget_ms, *tolerances)


def _reference(counterpart: Counterpart, sampling: Sampling) -> Reference:
    return counterpart.reference() or Reference(
        label=counterpart.label,
        measurement=sampling.measurements[0],
        processes=tuple(sampling.samples[0].processes),
        paired=True,
    )
