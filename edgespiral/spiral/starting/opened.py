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
from edgespiral.export.parts import require_float
from edgespiral.export.rebuilt import FreshProcess
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.latency_cache import cache_folder
from edgespiral.measure.racing.entrants import AUTO, profiles_with
from edgespiral.models.saved import weights_sha256
from edgespiral.spiral.context import RunContext
from edgespiral.spiral.exploring.start import check_explored
from edgespiral.spiral.family.siblings import check_family
from edgespiral.spiral.shipping.runtime import settled
from edgespiral.spiral.starting.fitting import (
    check_cuts,
    fitted,
    shared_multiple,
    tell_cuts,
    traced_teacher,
)
from edgespiral.spiral.starting.journal import OF_RUN, begun_journal
from edgespiral.spiral.starting.other_teacher import other_teacher, tell_other_teacher
from edgespiral.spiral.student.distillation import OUTPUTS
from edgespiral.spiral.student.kernels import KERNELS, sparse_kernels
from edgespiral.spiral.student.precision_search import CANDIDATES
from edgespiral.spiral.student.precisions import Precisions, measuring
from edgespiral.spiral.student.sparsity import announce
from edgespiral.spiral.training import check_training
from edgespiral.spiral.workers.agreement import agree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.plan import Plan
    from edgespiral.spiral.starting.request import RunRequest
    from edgespiral.spiral.student.kernels import Kernels
    from edgespiral.tasks.base import Task


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
    require_float(request.task.part_names, plan.precision)
    profiles = profiles_with(plan.targets, plan.runtime, by_layers=plan.is_by_layers)
    precisions = Precisions.shared(plan.precision, profiles, load_recipe(plan.recipe))
    with on_device(plan.device):
        model, splits, task = fitted(plan, request.model, request.splits, request.task, listener)
        agree(plan, model, splits)
        make_folder(out)
        with locked(out), FreshProcess() as fresh, ExitStack() as running:
            _clear(out)
            teacher = traced_teacher(model, splits, listener)
            kernels = _checked(plan, teacher, profiles, listener)
            check_training(plan, teacher.model, request.training, len(splits.train), task)
            other = _beside(plan, teacher.model, splits, task)
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


def _beside(plan: Plan, teacher: nn.Module, splits: DataSplits, task: Task) -> GraphModule | None:
    """Who teaches in the teacher's place; siblings that could only fail later are refused.

    Raises:
        UsageError, ModelError: as `check_family` and `other_teacher`.
    """
    check_family(plan.family, teacher, splits, task, plan.seed)
    return other_teacher(plan.teacher_model, teacher, splits, task)


def _checked(
    plan: Plan,
    teacher: PrunableModel,
    profiles: Sequence[TargetProfile],
    listener: Listener,
) -> Kernels:
    """Refuse what could only fail once time was spent, say the rest, and tell the sparse kernels.

    Raises:
        EdgeSpiralError: as `check_cuts` and `check_explored`.
    """
    multiple = shared_multiple(plan.sparsity, profiles)
    narrow = check_cuts(plan.criterion, plan.pruner, teacher, multiple)
    check_explored(plan.explored, weights_sha256(teacher.model))
    kernels = {
        profile.name: sparse_kernels(plan.sparsity, plan.precision, profile) for profile in profiles
    }
    announce(plan.sparsity, teacher.model, kernels, listener)
    tell_cuts(teacher, narrow, multiple, listener)
    return max(kernels.values(), key=KERNELS.index)
