"""Settings of the training that Optuna searches, trial by trial (Akiba et al. 2019, "Optuna").

A trial is a run; what it is told by is the run's score on the validation split, or how far the run
came where that is what it looks for, and a run that does not reach its goal, or fails, is told as
failed. What was asked lies in `search.json`, and how it ended in the folders of runs, so that a
search that was stopped goes on as it would have.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MissingExtraError, RunFolderError
from edgespiral.core.records.events import Outcome
from edgespiral.core.system.files import read_bytes, write_text
from edgespiral.spiral.sweeping.plan import Range, combinations, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgespiral.core.records.result import Result
    from edgespiral.spiral.sweeping.ended import EndedRuns
    from edgespiral.spiral.sweeping.plan import SearchPlan, SweepPlan, SweepRun

ASKED = "search.json"
REACHED = (Outcome.MET, Outcome.ALREADY_MET)


def require_optuna() -> Any:  # noqa: ANN401 (a module of a package that need not be there)
    """The `optuna` package, silent but for errors.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingExtraError("[search] of a sweep", "optuna") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@dataclass(frozen=True)
class Search:
    """The trials of a sweep: so many for each combination of what it varies.

    Attributes:
        sweep: with a search.
        place: where it is written, for errors.
        ended: its runs, as far as they have.
        at_once: how many trials are asked for before their scores are known.
    """

    sweep: SweepPlan
    place: str
    ended: EndedRuns
    at_once: int

    def rounds(self) -> Iterator[list[SweepRun]]:
        """Trials to run, once the ones before have ended; those of an earlier call first.

        Raises:
            MissingExtraError: Optuna is not installed.
            RunFolderError: what was asked before cannot be read.
            UsageError: a trial is no plan.
        """
        require_optuna()
        trials = self._asked()
        for values in combinations(self.sweep.vary):
            mine = [self._run(values, trial) for trial in trials if _is_of(trial, values)]
            if mine:
                yield list(mine)
            while len(mine) < self._plan.trials:
                number = min(self.at_once, self._plan.trials - len(mine))
                new = self._suggested(mine, number)
                # What is no plan is told, and is not among what goes on.
                runs = [self._run(values, values | settings) for settings in new]
                trials += [values | settings for settings in new]
                write_text(self.ended.out / ASKED, json.dumps(trials, indent=2) + "\n")
                mine += runs
                yield runs

    def best(self, runs: Sequence[SweepRun]) -> list[str]:
        """Of each combination, the run that met its budget with the best validation score.

        Without a budget it is the run that made the fastest model that holds, or the smallest.
        """
        best = []
        for values in combinations(self.sweep.vary):
            mine = [run for run in runs if _is_of(run.values, values)]
            ranks = {run.name: _rank(run, self.ended.of(run)) for run in mine}
            reached = {name: rank for name, rank in ranks.items() if rank is not None}
            if reached:
                best.append(max(reached, key=reached.__getitem__))
        return best

    @property
    def _plan(self) -> SearchPlan:
        assert self.sweep.search is not None
        return self.sweep.search

    def _run(self, values: dict[str, Any], trial: dict[str, Any]) -> SweepRun:
        settings = {name: trial[name] for name in self._plan.fields}
        return run_of(self.sweep, values | settings, self.place)

    def _suggested(self, earlier: Sequence[SweepRun], number: int) -> list[dict[str, Any]]:
        """Settings of trials that go on from `earlier` ones, all of which have ended."""
        optuna = require_optuna()
        sampler = optuna.samplers.TPESampler(seed=self._plan.seed + len(earlier))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        distributions = {name: _distribution(f, optuna) for name, f in self._plan.fields.items()}
        for run in earlier:
            rank = _rank(run, self.ended.of(run))
            states = optuna.trial.TrialState
            state = states.FAIL if rank is None else states.COMPLETE
            params = {name: run.values[name] for name in distributions}
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=distributions, value=rank, state=state
                )
            )
        return [dict(study.ask(distributions).params) for _ in range(number)]

    def _is_own(self, trial: dict[str, Any]) -> bool:
        fields = self._plan.fields
        named = {*self.sweep.vary, *fields}
        return trial.keys() == named and all(_is_in(trial[key], fields[key]) for key in fields)

    def _asked(self) -> list[dict[str, Any]]:
        path = self.ended.out / ASKED
        if not path.is_file():
            return []
        try:
            trials: list[dict[str, Any]] = json.loads(read_bytes(path))
            if all(map(self._is_own, trials)):
                return trials
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise RunFolderError("is damaged", where=str(path), hint="delete it") from error
        raise RunFolderError(
            "this folder holds a search of other settings",
            where=str(path),
            hint="choose another --out",
        )


def _is_in(value: object, field: Range | list[Any]) -> bool:
    """Whether a search of `field` may have asked for this value."""
    if not isinstance(field, Range):
        return any(value == choice and type(value) is type(choice) for choice in field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    is_whole = isinstance(field.low, int) and isinstance(field.high, int)
    return field.low <= value <= field.high and (isinstance(value, int) or not is_whole)


def _is_of(trial: dict[str, Any], values: dict[str, Any]) -> bool:
    return all(trial.get(name) == value for name, value in values.items())


def _rank(run: SweepRun, result: Result | None) -> float | None:
    """How good a run is, higher for better; None where it did not reach its goal.

    With a budget, which all runs meet alike, that is its validation score. Without one scores only
    have to hold, and it is how many times smaller the model became, or faster where it gained
    least.
    """
    if result is None or result.outcome not in REACHED:
        return None
    if not run.plan.is_quality_goal:
        return result.metric.rank(result.student.validation_score)
    if run.plan.smallest:
        return result.teacher.size_bytes / result.student.size_bytes
    return min(device.speedup.value for device in result.devices)


def _distribution(field: Range | list[Any], optuna: Any) -> Any:  # noqa: ANN401 (see require_optuna)
    if not isinstance(field, Range):
        return optuna.distributions.CategoricalDistribution(field)
    if isinstance(field.low, int) and isinstance(field.high, int):
        return optuna.distributions.IntDistribution(field.low, field.high, log=field.log)
    return optuna.distributions.FloatDistribution(field.low, field.high, log=field.log)
