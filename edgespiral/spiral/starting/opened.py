"""A plan, a model and data as they go together, with all that the steps of a run share."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import (
    first_few,
)
from edgespiral.core.system.files import make_folder
from edgespiral.core.system.lock import locked
from edgespiral.core.system.temporary import check_claim, remove_dead_below
from edgespiral.data import check
from edgespiral.data.accompanying import write_beside
from edgespiral.distill.compute import on_device
from edgespiral.distill.own_training import USUAL
from edgespiral.export.rebuilt import FreshProcess
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.engine_files import require_timing
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.latency_cache import cache_folder
from edgespiral.measure.profile import load_profiles
from edgespiral.models.accept import folded, unwrapped
from edgespiral.models.example_inputs import example_of
from edgespiral.models.independence import check_independence
from edgespiral.models.load import check_outputs, one_output
from edgespiral.models.saved import check_computes, check_rebuilds, trace, weights_sha256
from edgespiral.prune.prunable import PrunableModel, engines
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.spiral.context import RunContext
from edgespiral.spiral.exploring.start import check_explored
from edgespiral.spiral.inspecting import share_lines
from edgespiral.spiral.planning.allocate import every_choice
from edgespiral.spiral.starting.journal import begun_journal
from edgespiral.spiral.student.distillation import OUTPUTS
from edgespiral.spiral.student.kernels import KERNELS, sparse_kernels
from edgespiral.spiral.student.precision_search import CANDIDATES
from edgespiral.spiral.student.precisions import Precisions, measuring
from edgespiral.spiral.student.sparsity import announce, planned_multiple
from edgespiral.spiral.student.unlabelled import taught_by
from edgespiral.spiral.training import check_training
from edgespiral.spiral.vocabulary import with_used_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.distill.own_training import Training
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.spiral.plan import Plan
    from edgespiral.spiral.student.kernels import Kernels
    from edgespiral.tasks.base import Task


JOURNAL = "journal.jsonl"


@contextmanager
def opened(
    plan: Plan,
    model: nn.Module,
    splits: DataSplits,
    *,
    out: Path,
    resume: bool,
    listener: Listener,
    task: Task,
    command: str,
    training: Training = USUAL,
    journal: str = JOURNAL,
) -> Iterator[tuple[RunContext, FreshProcess]]:
    """What the steps of a run share, with its folder locked and its journal begun or gone on with.

    Also yields where saved models are run as others will run them.

    Args:
        journal: what the journal's file is called in `out`.

    Raises:
        EdgeSpiralError: as `run_compress`, before any time is spent.
    """
    with on_device(plan.device):
        profiles = [require_timing(profile) for profile in load_profiles(plan.targets)]
        model, splits, task = _fitted(plan, model, splits, task, listener)
        precisions = Precisions.shared(plan.precision, profiles, load_recipe(plan.recipe))
        make_folder(out)
        with locked(out), FreshProcess() as fresh:
            remove_dead_below(out)
            for name in (OUTPUTS, CANDIDATES):
                check_claim(out / name)
            teacher = _teacher(model, splits, listener)
            kernels = _checked(plan, teacher, profiles, training, listener)
            begun = begun_journal(
                *(plan, teacher, task, splits, out / journal), resume=resume, command=command
            )
            write_beside(splits.files, out)
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
                    training=training,
                )
                yield context, fresh


def _checked(
    plan: Plan,
    teacher: PrunableModel,
    profiles: Sequence[TargetProfile],
    training: Training,
    listener: Listener,
) -> Kernels:
    """Refuse what could only fail once time was spent, say the rest, and tell the sparse kernels.

    Raises:
        EdgeSpiralError: as `_check_cuts`, `check_training` and `check_explored`.
    """
    steps = [planned_multiple(plan.sparsity, one.device.channel_multiple) for one in profiles]
    multiple = math.lcm(*steps)
    narrow = _check_cuts(plan.criterion, plan.pruner, teacher, multiple)
    check_training(plan, teacher.model, training)
    check_explored(plan.explored, weights_sha256(teacher.model))
    kernels = {
        profile.name: sparse_kernels(plan.sparsity, plan.precision, profile) for profile in profiles
    }
    announce(plan.sparsity, teacher.model, kernels, listener)
    _tell_cuts(teacher, narrow, multiple, listener)
    return max(kernels.values(), key=KERNELS.index)


def _fitted(
    plan: Plan, model: nn.Module, splits: DataSplits, task: Task, listener: Listener
) -> tuple[nn.Module, DataSplits, Task]:
    """The model, the data and the task as they go together.

    Raises:
        DataError: the data are not what the task takes.
        ModelError: as `_accepted`.
    """
    task, splits = task.fitted(splits if plan.augment else splits.unaugmented())
    if splits.is_labelled:
        task.check_data(splits)
    if plan.vocabulary == "data":
        model, splits = with_used_tokens(model, splits)
    check(splits, plan.batch_size)
    model, task = _accepted(model, splits, task, listener)
    if not splits.is_labelled:
        listener.say(f"  {splits.name} has no targets: the teacher's outputs are taken for them")
        splits = taught_by(model, splits, task)
    return model, splits, task


def _accepted(
    model: nn.Module, splits: DataSplits, task: Task, listener: Listener
) -> tuple[nn.Module, Task]:
    """`model` of plain layers, which takes the data and returns what the task wants, and the task.

    Raises:
        ModelError: it is of a kind that cannot be trained or cut, or does not fit the data.
    """
    for note in splits.notes:
        listener.say(f"  {note}")
    model, task = task.prepared(unwrapped(model), splits)
    model = one_output(model, splits, task.main_output)
    plain, lines = folded(model)
    for line in lines:
        listener.say(f"  {line}")
    with listener.steps("trying the model on the data"):
        check_outputs(plain, splits, task.check_outputs)
        check_independence(plain, splits)
        if lines:
            check_computes(plain, model, first_inputs(splits))
    return plain, task


def _teacher(model: nn.Module, splits: DataSplits, listener: Listener) -> PrunableModel:
    """`model` traced, and compared on samples with what its source will rebuild."""
    inputs = first_inputs(splits)
    with listener.steps("finding what can be cut"):
        graph = trace(model, inputs)
        teacher = PrunableModel.of(graph, splits.input_shape, example=example_of(splits))
        check_rebuilds(teacher.model, inputs)
    return teacher


def _check_cuts(criterion: str, pruner: str, teacher: PrunableModel, multiple: int) -> list[str]:
    """Refuse what could only fail once time was spent; the groups too narrow to be cut.

    Raises:
        UsageError: nothing can be cut in steps of `multiple`, or not by the engine asked for.
        ModelError: the criterion has nothing to go by.
    """
    engines(teacher, pruner)
    options = every_choice(teacher.groups, teacher.branches, multiple).options
    CRITERIA.get(criterion).check(teacher.model, teacher.groups)
    return [f"{name} ({widths[0]})" for name, widths in options.items() if len(widths) == 1]


def _tell_cuts(
    teacher: PrunableModel, narrow: Sequence[str], multiple: int, listener: Listener
) -> None:
    """Say what will not be cut."""
    for line in share_lines(teacher):
        listener.say(line)
    if narrow:
        listener.say(f"  too narrow to lose {multiple} channels: {first_few(narrow)}")
