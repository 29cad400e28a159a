"""`edgespiral.explore`, for programs and notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral.core.listener import Silent
from edgespiral.data import load
from edgespiral.spiral.exploring.explore import explore_model, exploring_plan
from edgespiral.spiral.plan.call import call_text, fields_of_call, run_folder
from edgespiral.spiral.run import load_teacher
from edgespiral.spiral.starting.request import RunRequest
from edgespiral.tasks import resolved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.comparing.exploration import Exploration
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task


@dataclass(frozen=True)
class Explored:
    """What `explore` returns.

    Attributes:
        exploration: the record of `exploration.json`: cuts with their latencies in milliseconds and
            95 % intervals, what they are predicted to lose, which are on the front and its knees.
        folder: where it lies; `compress(..., explored=folder, point=...)` starts from a point.
    """

    exploration: Exploration
    folder: Path


def explore(
    model: nn.Module | str,
    data: DataSplits | Mapping[str, Any] | str,
    plan: Plan | None = None,
    *,
    points: int = 8,
    runs: Sequence[str | Path] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    task: Task | str | None = None,
    **options: Any,  # noqa: ANN401
) -> Explored:
    """Find out what several latencies would cost, without training; see `edgespiral explore`.

    Args:
        model: as for `compress`.
        data: as for `compress`.
        plan: what is asked for. Its budget is how far to look; 4 times as fast if none is given.
        points: how many latencies to look at, from 2 to 64.
        runs: folders of finished runs that say what a nat costs in the metric; those beside `out`
            if not given.
        out: the folder, which is made where it is missing; the plan's `out` if not given.
        resume: go on with the exploration that is in `out`.
        listener: hears the progress; silent by default.
        task: as for `compress`.
        options: the plan's fields, as for `compress`.

    Returns:
        The record, and the folder with it and its page.

    Raises:
        EdgeSpiralError: as `compress`, but for what training raises. `ModelError` where no cut is
            faster.

    Example:
        >>> import edgespiral
        >>> from torch import nn
        >>> net = nn.Sequential(
        ...     nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        ...     nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10),
        ... )
        >>> found = edgespiral.explore(
        ...     net, "digits", points=2, speedup=1.5, pruner="depgraph", out="runs/explored"
        ... )
        >>> (found.folder / "exploration.html").is_file(), found.exploration.complete
        (True, True)
    """
    fields, in_memory = fields_of_call(model, data, plan, task, options)
    accepted = exploring_plan(None, fields)
    folder = run_folder(accepted.out if out is None else out)
    splits, listener = in_memory or load(accepted.data), listener or Silent()
    request = RunRequest(
        plan=accepted,
        model=load_teacher(accepted, splits, listener) if isinstance(model, str) else model,
        splits=splits,
        task=resolved(accepted.task if task is None else task),
        out=folder,
        resume=resume,
        listener=listener,
        command=call_text("explore", accepted, folder),
    )
    trained = None if runs is None else [Path(run) for run in runs]
    exploration = explore_model(request, points=points, trained=trained)
    return Explored(exploration, folder)
