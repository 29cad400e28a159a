"""What would stop a run is refused before any time is spent, by the run and by its rehearsal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.export.parts import require_float
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.racing.entrants import profiles_with
from edgespiral.models.saved import weights_sha256
from edgespiral.spiral.exploring.start import check_explored
from edgespiral.spiral.family.siblings import check_family
from edgespiral.spiral.starting.fitting import check_cuts, shared_multiple, tell_cuts
from edgespiral.spiral.starting.other_teacher import other_teacher
from edgespiral.spiral.student.kernels import KERNELS, sparse_kernels
from edgespiral.spiral.student.precisions import Precisions
from edgespiral.spiral.student.sparsity import announce
from edgespiral.spiral.training import check_training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.distill.own_training import Training
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.plan import Plan
    from edgespiral.spiral.student.kernels import Kernels
    from edgespiral.tasks.base import Task


def on_targets(plan: Plan, task: Task) -> tuple[list[TargetProfile], Precisions]:
    """The profiles of a plan's targets, and the precisions that a run may use there.

    Raises:
        UsageError: there is no such target or recipe, or no such precision there or for the task.
        TargetError: as `profiles_with`.
    """
    require_float(task.part_names, plan.precision)
    profiles = profiles_with(plan.targets, plan.runtime, by_layers=plan.is_by_layers)
    return profiles, Precisions.shared(plan.precision, profiles, load_recipe(plan.recipe))


def check_cutting(
    plan: Plan, teacher: PrunableModel, profiles: Sequence[TargetProfile], listener: Listener
) -> Kernels:
    """Refuse what cannot be cut, say what will not be, and tell the kernels of sparse weights.

    Args:
        plan: of the run.
        teacher: that is cut.
        profiles: of the targets.
        listener: hears it.

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


def check_learning(
    plan: Plan, teacher: nn.Module, training: Training, splits: DataSplits, task: Task
) -> GraphModule | None:
    """Refuse what no student could learn by, and siblings that could not; who teaches instead.

    Args:
        plan: of the run.
        teacher: that is compressed, traced.
        training: of students.
        splits: as they are trained on.
        task: as it is fitted to the model and the data.

    Raises:
        UsageError, ModelError: as `check_training`, `check_family` and `other_teacher`.
    """
    check_training(plan, teacher, training, len(splits.train), task)
    check_family(plan.family, teacher, splits, task, plan.seed)
    return other_teacher(plan.teacher_model, teacher, splits, task)
