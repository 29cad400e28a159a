"""A plan's model, data and task fitted to each other, before any time is spent on a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgespiral.core.batches import AugmentedSource, StoredSource, first_inputs
from edgespiral.core.errors import UsageError, first_few
from edgespiral.core.system.analysis_limit import analysing
from edgespiral.data import check
from edgespiral.data.guard import watched
from edgespiral.distill.settings import few_samples
from edgespiral.models.accept import folded, unwrapped
from edgespiral.models.example_inputs import example_of
from edgespiral.models.independence import check_answers
from edgespiral.models.load import one_output
from edgespiral.models.saved import check_computes, check_rebuilds, trace
from edgespiral.prune.prunable import PrunableModel, engines
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.spiral.inspecting import share_lines
from edgespiral.spiral.planning.allocate import every_choice
from edgespiral.spiral.student.sparsity import planned_multiple
from edgespiral.spiral.student.unlabelled import taught_by
from edgespiral.spiral.training import batch_of
from edgespiral.spiral.vocabulary import with_used_tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.listener import Listener
    from edgespiral.core.records.metric import Metric
    from edgespiral.core.records.schema import Sparsity
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task


def shared_multiple(sparsity: Sparsity, profiles: Sequence[TargetProfile]) -> int:
    """The step of channels that suits every device."""
    return math.lcm(
        *(planned_multiple(sparsity, profile.device.channel_multiple) for profile in profiles)
    )


def fitted(
    plan: Plan, model: nn.Module, splits: DataSplits, task: Task, listener: Listener
) -> tuple[nn.Module, DataSplits, Task]:
    """The model, the data and the task as they go together.

    Raises:
        DataError: the data are not what the task takes.
        ModelError: as `accepted`.
    """
    task, splits = task.fitted(splits if plan.shows_views else splits.unaugmented())
    if plan.augment is None and plan.shows_views and _has_views(splits.train):
        listener.say(f"  {plan.epochs:g} epochs are many: students see random views of the samples")
    splits = watched(splits, task.target_problem)
    if splits.is_labelled:
        task.check_data(splits)
    if plan.vocabulary == "data":
        model, splits = with_used_tokens(model, splits)
    samples = len(splits.train)
    batch_size = batch_of(plan, samples, model)
    check(splits, batch_size)
    is_asked = "batch_size" in plan.model_fields_set
    few = few_samples(samples, batch_size, accumulate=plan.accumulate)
    if few and not is_asked:
        listener.say(f"  {few}")
    for note in splits.notes:
        listener.say(f"  {note}")
    with listener.steps("trying the model on the data"):
        model, task, lines = accepted(model, splits, task)
    for line in lines:
        listener.say(f"  {line}")
    if not splits.is_labelled:
        listener.say(f"  {splits.name} has no targets: the teacher's outputs are taken for them")
        splits = taught_by(model, splits, task)
    return model, splits, task


def _has_views(train: BatchSource) -> bool:
    """Whether shuffled passes show other samples than those that are stored, as far as is known."""
    is_stored = isinstance(train, StoredSource) and train.order(0) is not None
    return isinstance(train, AugmentedSource) and not is_stored


def require_drop(metric: Metric, fields: Collection[str]) -> None:
    """Refuse to guess what may be lost of a metric whose unit is the task's own.

    Args:
        metric: of the task.
        fields: of the plan, those that were said.

    Raises:
        UsageError: it is not said.
    """
    if metric.unit != "%" and "max_drop" not in fields:
        raise UsageError(
            f"how much worse {metric.label} may get is not said",
            where="--max-drop",
            hint="it is in the metric's own unit, and what is little of it only you know",
        )


def accepted(
    model: nn.Module, splits: DataSplits, task: Task
) -> tuple[nn.Module, Task, Sequence[str]]:
    """`model` of plain layers, which takes the data and returns what the task wants, and the task.

    Also returns what was done to the model, a line each.

    Raises:
        ModelError: it is of a kind that cannot be trained or cut, or does not fit the data.
    """
    model, task = task.prepared(unwrapped(model), splits)
    model = one_output(model, splits, task.main_output)
    plain, lines = folded(model)
    check_answers(plain, splits, task.check_outputs)
    if lines:
        check_computes(plain, model, first_inputs(splits))
    return plain, task, lines


def traced_teacher(model: nn.Module, splits: DataSplits, listener: Listener) -> PrunableModel:
    """`model` traced, and compared on samples with what its source will rebuild."""
    inputs = first_inputs(splits)
    with listener.steps("finding what can be cut"), analysing():
        graph = trace(model, inputs)
        teacher = PrunableModel.of(graph, splits.input_shape, example=example_of(splits))
        check_rebuilds(teacher.model, inputs)
    return teacher


def check_cuts(criterion: str, pruner: str, teacher: PrunableModel, multiple: int) -> list[str]:
    """Refuse what could only fail once time was spent; the groups too narrow to be cut.

    Raises:
        UsageError: nothing can be cut in steps of `multiple`, or not by the engine asked for.
        ModelError: the criterion has nothing to go by.
    """
    engines(teacher, pruner)
    options = every_choice(teacher.groups, teacher.branches, multiple).options
    CRITERIA.get(criterion).check(teacher.model, teacher.groups)
    return [f"{name} ({widths[0]})" for name, widths in options.items() if len(widths) == 1]


def tell_cuts(
    teacher: PrunableModel, narrow: Sequence[str], multiple: int, listener: Listener
) -> None:
    """Say what will not be cut."""
    for line in share_lines(teacher):
        listener.say(line)
    if narrow:
        listener.say(f"  too narrow to lose {multiple} channels: {first_few(narrow)}")
