"""What `edgespiral explore` does, from a plan to `exploration.json` and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral import tasks
from edgespiral.core.config import read_toml
from edgespiral.core.errors import MeasurementError, TargetError, UsageError
from edgespiral.core.listener import OnConsole
from edgespiral.core.option import flag
from edgespiral.core.records.events import ExplorationPlanned
from edgespiral.core.records.journal import read_run
from edgespiral.core.system.invocation import tell_stopped
from edgespiral.data import load
from edgespiral.spiral.exploring.explorer import Explorer, require_untrained
from edgespiral.spiral.exploring.result import PAGE, exploration_of, write_exploration
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.plan.goals import KINDS
from edgespiral.spiral.run import load_teacher
from edgespiral.spiral.schedule import LARGEST_STEP
from edgespiral.spiral.starting.journal import OF_EXPLORATION
from edgespiral.spiral.starting.opened import JOURNAL, opened
from edgespiral.spiral.starting.request import RunRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from edgespiral.core.records.comparing.exploration import Exploration
    from edgespiral.spiral.plan import Plan

# A folder with this is no run: nothing goes on with it by mistake.
EXPLORED = OF_EXPLORATION
LEAST_POINTS, MOST_POINTS = 2, 64


def exploring_plan(config: Path | None, values: Mapping[str, object]) -> Plan:
    """The plan of an exploration, which looks as far as one turn may cut if no budget is given.

    Raises:
        UsageError: as `load_plan`, or it asks for the smallest model.
    """
    _require_for_speed(config, values)
    return load_plan(config, values, {"speedup": LARGEST_STEP})


def _require_for_speed(config: Path | None, values: Mapping[str, object]) -> None:
    """Refuse a goal of size, which the budget that exploring adds would be blamed for.

    Raises:
        UsageError: it is asked for.
    """
    given = {name: value for name, value in values.items() if value is not None}
    asked = {**(read_toml(config) if config else {}), **given}
    if asked.get("smallest") is True and not any(kind in asked for kind in KINDS):
        raise UsageError(
            "exploring looks at what latencies cost, not for the smallest model",
            where=flag("smallest") if "smallest" in given else f"{config}:smallest",
            hint="explore the same plan without it",
        )


def run_explore(
    plan: Plan,
    *,
    points: int,
    trained: Sequence[Path] | None,
    out: Path,
    resume: bool,
    console: Console,
    command: str,
) -> Exploration:
    """Do what `edgespiral explore` does.

    Args:
        plan: what is cut and where; its budget is how far to look.
        points: how many latencies to look at.
        trained: run folders that may say what a nat costs; None for those beside `out`.
        out: the folder, made if missing.
        resume: go on with the exploration that is in `out`.
        console: where progress is shown.
        command: that asked for it, quoted for a shell.

    Raises:
        EdgeSpiralError: with everything done so far kept in `out`.
    """
    splits, task = load(plan.data), tasks.load(plan.task)
    listener = OnConsole(console)
    model = load_teacher(plan, splits, listener)
    try:
        request = RunRequest(
            plan=plan,
            model=model,
            splits=splits,
            task=task,
            out=out,
            resume=resume,
            listener=listener,
            command=command,
        )
        return explore_model(request, points=points, trained=trained)
    except (KeyboardInterrupt, MeasurementError, TargetError):
        tell_stopped(console, command)
        raise


def explore_model(
    request: RunRequest, *, points: int, trained: Sequence[Path] | None
) -> Exploration:
    """Explore a model and data already in memory; see `run_explore`.

    Raises:
        UsageError: too few or too many points, or a criterion that trains.
        RunFolderError: one of `trained` is no run.
    """
    if not LEAST_POINTS <= points <= MOST_POINTS:
        raise UsageError(
            f"must be from {LEAST_POINTS} to {MOST_POINTS}, is {points}", where="--points"
        )
    require_untrained(request.plan.criterion)
    for folder in trained or ():
        read_run(folder / JOURNAL)
    folders = _runs_beside(request.out) if trained is None else trained
    with opened(request, journal=EXPLORED) as (context, fresh):
        try:
            Explorer(context, fresh, points, folders).run()
        finally:
            events = context.journal.read()
            if any(isinstance(event, ExplorationPlanned) for event in events):
                write_exploration(events, request.out)
        return exploration_of(events)


def _runs_beside(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.parent.glob(f"*/{JOURNAL}"))


__all__ = ["EXPLORED", "PAGE", "explore_model", "exploring_plan", "run_explore"]
