"""What `edgespiral sweep` does: many runs of one teacher, as few things twice as can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.records.comparing.sweep import Sweep
from edgespiral.core.system.files import make_folder, read_bytes
from edgespiral.core.system.lock import locked
from edgespiral.spiral.sweeping.command import unfinished
from edgespiral.spiral.sweeping.ended import EndedRuns
from edgespiral.spiral.sweeping.here import Here
from edgespiral.spiral.sweeping.on_ray import Devices, OnRay, require_ray
from edgespiral.spiral.sweeping.plan import load_sweep, runs_of
from edgespiral.spiral.sweeping.result import RECORD, sweep_of, write_sweep
from edgespiral.spiral.sweeping.search import Search, require_optuna
from edgespiral.spiral.sweeping.slurm import write_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from edgespiral.core.listener import Listener
    from edgespiral.spiral.sweeping.command import Problem
    from edgespiral.spiral.sweeping.plan import SweepPlan, SweepRun


class Runner(Protocol):
    """Where runs go on."""

    def run(self, runs: Sequence[SweepRun]) -> Iterator[tuple[SweepRun, Problem | None]]:
        """Yield each run as it ends, with its problem if it failed."""
        ...


@dataclass
class Sweeping:
    """A sweep under way.

    Attributes:
        path: of its plan.
        out: its folder, made if missing; each run has one in it.
        jobs: how many runs go on at once, in place of what the plan says.
        listener: hears of each run that ends.
        command: that asked for it, quoted for a shell.

    Raises:
        UsageError: the plan is wrong.
    """

    path: Path
    out: Path
    jobs: int | None
    listener: Listener
    command: str
    plan: SweepPlan = field(init=False)
    _runs: list[SweepRun] = field(init=False)
    _ended: EndedRuns = field(init=False)
    _problems: dict[str, Problem] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.plan = load_sweep(self.path)
        self.jobs = self.jobs or self.plan.jobs
        self._ended = EndedRuns(self.plan, self.out)
        # All combinations are checked before the first run starts.
        grid = runs_of(self.plan, str(self.path)) if self.plan.vary else []
        self._runs = [] if self.plan.search else grid

    def here(self) -> Sweep:
        """Do every run that has not ended yet, in processes of this machine.

        Raises:
            UsageError: a trial of a search is no plan.
            MissingExtraError: a search without Optuna.
            RunFolderError: another sweep works in the folder, or it holds one of another plan or
                such runs.
        """
        return self._swept(Here(self.out, self.jobs or 1))

    def on_ray(self) -> Sweep:
        """Do every run that has not ended yet, on a Ray cluster.

        Raises:
            As `here`, and UsageError, MissingExtraError as `OnRay`.
        """
        require_ray()
        runs = self._runs or runs_of(self.plan, str(self.path))
        devices, say = Devices.of(runs), self.listener.say
        with OnRay(self.out, self.plan.ray, devices, self.jobs, say) as cluster:
            return self._swept(cluster)

    def for_slurm(self) -> tuple[Sweep, Path | None]:
        """Write a script for what has not ended yet, and what all came to by now; run nothing.

        Returns:
            The sweep, and the script; None where all runs have ended.

        Raises:
            UsageError: the sweep searches, which needs scores before it can go on.
            RunFolderError: as `here`.
        """
        if self.plan.search is not None:
            raise UsageError(
                "a search waits for scores before it asks on, and a script cannot",
                where="--slurm",
                hint="leave out [search], or sweep here or with --ray",
            )
        make_folder(self.out)
        with locked(self.out):
            self._require_same()
            due = [run for run in self._runs if self._ended.of(run) is None]
            options = self.plan.slurm.options
            script = write_script(due, self.out, jobs=self.jobs, options=options) if due else None
            return self._written(), script

    def _swept(self, runner: Runner) -> Sweep:
        if self.plan.search is not None:
            require_optuna()
        make_folder(self.out)
        with locked(self.out):
            self._require_same()
            self._written()
            for runs in self._rounds():
                self._do(runs, runner)
            return self._written()

    def _rounds(self) -> Iterable[list[SweepRun]]:
        if self.plan.search is None:
            return [self._runs]
        return self._search.rounds()

    @property
    def _search(self) -> Search:
        return Search(self.plan, str(self.path), self._ended, self.jobs or 1)

    def _do(self, runs: Sequence[SweepRun], runner: Runner) -> None:
        # A search may ask for the same settings again, whose run has ended or is about to begin.
        each = {run.name: run for run in runs}
        before = {run.name for run in self._runs}
        self._runs += [run for name, run in each.items() if name not in before]
        due = [run for run in each.values() if self._ended.of(run) is None]
        self.listener.say(f"runs: {len(each)}, ended before: {len(each) - len(due)}")
        for done, (run, failure) in enumerate(runner.run(due), start=1):
            problem = failure
            if problem is None and self._ended.of(run) is None:
                problem = unfinished(self.out / run.name)
            if problem is not None:
                self._problems[run.name] = problem
            self._written()
            outcome = "ended" if problem is None else problem.text
            self.listener.say(f"  {done} of {len(due)}: {run.name}: {outcome}")

    def _written(self) -> Sweep:
        best = self._search.best(self._runs) if self.plan.search else []
        sweep = sweep_of(
            self.plan, self._runs, self._ended, self._problems, self.command, best=best
        )
        write_sweep(sweep, self.out)
        return sweep

    def _require_same(self) -> None:
        """Refuse a folder whose runs have something else in common; more may be asked for."""
        path = self.out / RECORD
        if not path.is_file():
            return
        try:
            earlier = Sweep.model_validate_json(read_bytes(path))
        except (OSError, ValidationError) as error:
            raise RunFolderError("is damaged", where=str(path), hint="delete it") from error
        if earlier.plan != self.plan.plan or list(earlier.vary) != self.plan.varied:
            raise RunFolderError(
                "this folder holds a sweep of another plan",
                where=str(self.out),
                hint="choose another --out; values may be added to what it varies or taken "
                "out, and nothing else",
            )
