"""What a process of a run does that is not the first one: it trains what it is handed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral import tasks
from edgespiral.core.errors import EdgeSpiralError, ExitCode, ProcessLostError
from edgespiral.core.listener import Silent
from edgespiral.core.system.stopping import STOP
from edgespiral.data import load
from edgespiral.distill.compute import on_device
from edgespiral.distill.own_training import TrainingStep, training_of
from edgespiral.distill.parallel.jobs import serve
from edgespiral.spiral.run import load_teacher
from edgespiral.spiral.starting.fitting import fitted
from edgespiral.spiral.workers.agreement import DisagreedError, agree, tell_failure
from edgespiral.spiral.workers.passes import FollowedPasses

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgespiral.core.batches import DataSplits
    from edgespiral.distill.own_training import Training
    from edgespiral.distill.parallel.world import World
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task


def follow(plan: Plan, world: World, complain: Callable[[EdgeSpiralError], None]) -> int:
    """Train with the first process until its run has ended.

    Args:
        plan: of the run; its folder is not looked at.
        world: of this process.
        complain: hears of an error that the first process does not tell of.

    Returns:
        The exit code of this process.
    """
    try:
        with on_device(plan.device):
            _follow(plan, world, complain)
    except KeyboardInterrupt:
        STOP.deafen()
        return STOP.exit_code or ExitCode.INTERRUPTED
    except (DisagreedError, ProcessLostError):
        return ExitCode.TRAINING
    except EdgeSpiralError as error:
        return error.exit_code
    return ExitCode.OK


def _follow(plan: Plan, world: World, complain: Callable[[EdgeSpiralError], None]) -> None:
    try:
        splits, task, training = _prepared(plan)
    except DisagreedError:
        raise
    except EdgeSpiralError as error:
        tell_failure(world, error)
        raise
    if not isinstance(training, TrainingStep):
        training = TrainingStep()  # a loop of the user's trains in the first process alone
    try:
        passes = FollowedPasses(world, splits, task)
        serve(world, splits, task, training, others=passes.answer)
    except ProcessLostError:
        raise
    except EdgeSpiralError as error:
        if not world.fail(f"{error}"):
            complain(error)
        raise


def _prepared(plan: Plan) -> tuple[DataSplits, Task, Training]:
    training = training_of(plan.train)
    splits, task = load(plan.data), tasks.load(plan.task)
    model = load_teacher(plan, splits, Silent())
    model, splits, task = fitted(plan, model, splits, task, Silent())
    agree(plan, model, splits)
    return splits, task, training
