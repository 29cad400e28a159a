"""A plan, a model and data as they go together, with all that the steps of a run share."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from edgespiral.core.listener import heard
from edgespiral.core.system.files import make_folder
from edgespiral.core.system.lock import locked
from edgespiral.core.system.temporary import check_claim, remove_dead_below
from edgespiral.data.accompanying import write_beside
from edgespiral.distill.compute import on_device
from edgespiral.export.rebuilt import FreshProcess
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.latency_cache import cache_folder
from edgespiral.measure.racing.entrants import AUTO
from edgespiral.spiral.context import RunContext
from edgespiral.spiral.shipping.runtime import settled
from edgespiral.spiral.starting.checks import check_cutting, check_learning, on_targets
from edgespiral.spiral.starting.fitting import fitted, traced_teacher
from edgespiral.spiral.starting.journal import OF_RUN, begun_journal
from edgespiral.spiral.starting.other_teacher import tell_other_teacher
from edgespiral.spiral.student.distillation import OUTPUTS
from edgespiral.spiral.student.precision_search import CANDIDATES
from edgespiral.spiral.student.precisions import Precisions, measuring
from edgespiral.spiral.workers.agreement import agree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgespiral.spiral.starting.request import RunRequest


JOURNAL = OF_RUN


@contextmanager
def opened(
    request: RunRequest, *, journal: str = JOURNAL
) -> Iterator[tuple[RunContext, FreshProcess]]:
    """What the steps of a run share, with its folder locked and its journal begun or gone on with.

    Also yields where saved models are run as others will run them.

    Args:
        request: with model and data as they came.
        journal: what the journal's file is called in `out`.

    Raises:
        EdgeSpiralError: as `run_compress`, before any time is spent.
    """
    plan, out, listener = request.plan, request.out, request.listener
    profiles, precisions = on_targets(plan, request.task)
    with on_device(plan.device):
        model, splits, task = fitted(plan, request.model, request.splits, request.task, listener)
        agree(plan, model, splits)
        make_folder(out)
        with locked(out), FreshProcess() as fresh, ExitStack() as running:
            _clear(out)
            teacher = traced_teacher(model, splits, listener)
            kernels = check_cutting(plan, teacher, profiles, listener)
            other = check_learning(plan, teacher.model, request.training, splits, task)
            begun = begun_journal(
                plan,
                teacher,
                task,
                splits,
                out / journal,
                resume=request.resume,
                command=request.command,
                other_teacher=other,
            )
            write_beside(splits.files, out)
            running.enter_context(heard(listener, out, begun))
            tell_other_teacher(plan.teacher_model, other, splits, task, listener)
            if plan.runtime == AUTO:
                profiles = settled(
                    profiles,
                    teacher.model,
                    splits,
                    task=task,
                    journal=begun,
                    listener=listener,
                    rounded=plan.precision == "auto",
                )
                precisions = Precisions.shared(plan.precision, profiles, precisions.recipe)
            with Fleet.of([measuring(profile) for profile in profiles]) as fleet:
                context = RunContext(
                    plan=plan,
                    out=out,
                    splits=splits,
                    fleet=fleet,
                    journal=begun,
                    listener=listener,
                    teacher=teacher,
                    teacher_onnx=out / "teacher" / "model.onnx",
                    precisions=precisions,
                    sparse_kernels=kernels,
                    cache_folder=cache_folder(plan.latency_cache),
                    task=task,
                    training=request.training,
                    other_teacher=other,
                )
                yield context, fresh


def _clear(out: Path) -> None:
    """Remove what dead processes left in a run folder, and refuse what is in the run's way."""
    remove_dead_below(out)
    for name in (OUTPUTS, CANDIDATES):
        check_claim(out / name)
