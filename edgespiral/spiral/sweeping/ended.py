"""What runs of a sweep came to that have ended, from their journals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import RunFinished, RunStarted
from edgespiral.core.records.journal import read_run
from edgespiral.core.system.files import is_file
from edgespiral.report.result import build_result
from edgespiral.spiral.plan import plan_sha256
from edgespiral.spiral.starting.journal import said_otherwise
from edgespiral.spiral.starting.opened import JOURNAL

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.core.records.events import Event
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.result import Result
    from edgespiral.spiral.plan import Plan
    from edgespiral.spiral.sweeping.plan import SweepPlan, SweepRun

# Fields whose values may have teachers of their own.
OF_TEACHERS = {"model", "weights"}


class EndedRuns:
    """Results of a sweep's runs that have ended, each read once.

    A folder may hold another run than the sweep's, whose figures are none of its.

    Args:
        plan: of the sweep.
        out: the sweep's folder.
    """

    def __init__(self, plan: SweepPlan, out: Path) -> None:
        self.out = out
        self._one_teacher = not OF_TEACHERS & {*plan.varied}
        self._results: dict[str, tuple[Plan, Result]] = {}
        self._teacher_sha256: str | None = None
        self._metric: Metric | None = None

    def of(self, run: SweepRun) -> Result | None:
        """The result of a run; None of one that has not ended.

        Raises:
            RunFolderError: its folder holds a run of another plan, or of another teacher or metric
                than those before it, or its journal is damaged.
        """
        journal = self.out / run.name / JOURNAL
        if run.name not in self._results and is_file(journal):
            events = read_run(journal)
            if any(isinstance(event, RunFinished) for event in events):
                self._require_own(run, events[0])
                self._results[run.name] = run.plan, build_result(events)
        plan, result = self._results.get(run.name, (run.plan, None))
        if plan != run.plan:
            raise _of_another_plan(self.out / run.name)
        return result

    def _require_own(self, run: SweepRun, started: Event) -> None:
        place = self.out / run.name
        if not isinstance(started, RunStarted) or started.plan_sha256 != plan_sha256(run.plan):
            raise _of_another_plan(place)
        if said_otherwise(started, run.plan.model_fields_set, run.plan.model_dump()) is not None:
            raise _of_another_plan(place)
        # Where weights lie is no part of the hash.
        weights = run.plan.model_dump(mode="json", include={"weights"})
        if not self._one_teacher and started.plan.get("weights") != weights["weights"]:
            raise _of_another_plan(place)
        before = self._teacher_sha256
        if self._one_teacher and before not in (None, started.teacher_sha256):
            raise RunFolderError(
                "this run has another teacher than those before it: the weights changed",
                where=str(place),
                hint="put them back as they were, or choose another --out",
            )
        if self._metric not in (None, started.metric):
            raise RunFolderError(
                f"its scores are of {started.metric.name}, those of runs before it of "
                f"{self._metric.name if self._metric else ''}, or have another unit",
                where=str(place),
                hint="choose another --out, or move that folder away",
            )
        self._teacher_sha256, self._metric = started.teacher_sha256, started.metric


def _of_another_plan(folder: Path) -> RunFolderError:
    return RunFolderError(
        "this folder holds a run of another plan",
        where=str(folder),
        hint="choose another --out, or move that folder away",
    )
