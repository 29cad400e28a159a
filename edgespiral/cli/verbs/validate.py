"""`edgespiral validate`: check a plan, touch nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgespiral.cli.terminal import tell
from edgespiral.core.errors import EdgeSpiralError, UsageError

# Data sets that are folders.
FOLDERS = ("folder", "masks")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgespiral.core.records.schema import Precision, Sparsity
    from edgespiral.spiral.plan import Plan


def validate(
    plan: Annotated[Path, typer.Argument(help="A plan file, as for compress --config.")],
) -> None:
    """Check everything about a plan that can be checked without doing anything."""
    from edgespiral.spiral.plan import load_plan

    checked = load_plan(plan, {})
    problems = list(find_problems(checked, plan))
    if problems:
        raise UsageError("; ".join(problems))
    tell(f"ok: {described(checked)}")


def find_problems(plan: Plan, place: Path) -> Iterator[str]:
    """What stands in the way of running `plan`, each as `file:key: problem`."""
    from edgespiral.export.recipe import load_recipe
    from edgespiral.measure.racing.entrants import profiles_with

    checks: dict[str, Callable[[], object]] = {
        "model": lambda: _check_model(plan.model),
        "weights": lambda: _check_weights(plan.model, plan.weights),
        "data": lambda: _check_data(plan.data),
        "task": lambda: _check_own(plan.task),
        "optimizer": lambda: _check_own(plan.optimizer),
        "train": lambda: _check_file(plan.train) if plan.train else None,
        "target": lambda: profiles_with(plan.targets, None, by_layers=plan.is_by_layers),
        "runtime": lambda: _check_runtime(plan),
        "recipe": lambda: load_recipe(plan.recipe),
        "precision": lambda: _check_precision(plan.precision, plan.targets),
    }
    for key, check in checks.items():
        try:
            check()
        except EdgeSpiralError as error:
            yield f"{place}:{key}: {str(error).replace('; ', ', ')}"


def described(plan: Plan) -> str:
    """In one sentence, what running `plan` would do."""
    goals = " and ".join(_goals(plan))
    turns = "as many turns as needed" if plan.turns == "auto" else f"{plan.turns} turns"
    return (
        f"{plan.model} on {plan.data} would be compressed to {goals}, "
        f"in {turns}, with {plan.epochs:g} epochs of distillation in all, losing at most "
        f"{plan.max_drop:g} in its metric's unit{_zeros(plan.sparsity)}"
    )


def _check_own(spec: str) -> None:
    from edgespiral.core.factory import is_factory

    if is_factory(spec):
        _check_file(spec)


def _zeros(sparsity: Sparsity) -> str:
    if sparsity == "none":
        return ""
    share = sparsity if sparsity == "2:4" else f"{100 * float(sparsity):g} %"
    return f", with {share} sparse weights"


def _goals(plan: Plan) -> Iterator[str]:
    from edgespiral.core.records.footprint import energy_text, memory_text
    from edgespiral.spiral.budget import limit_texts

    for target, goals in plan.budgets.items():
        for kind, value in goals.items():
            budget = f"{value:g}x as fast" if kind == "speedup" else f"{value:g} ms"
            yield f"{budget} on {target}"
    if plan.size_mib is not None:
        yield f"{plan.size_mib:g} MiB"
    yield from limit_texts(plan.memory_mib, memory_text)
    yield from limit_texts(plan.energy_mj, energy_text)
    if plan.parameters is not None:
        share = plan.parameters < 1
        yield (
            f"{100 * plan.parameters:g} % of the parameters"
            if share
            else (f"{plan.parameters} parameters")
        )
    if plan.is_quality_goal:
        yield f"the {'smallest' if plan.smallest else 'fastest'} that holds its score"


def _check_runtime(plan: Plan) -> None:
    from edgespiral.measure.racing.entrants import profiles_with

    try:
        profiles_with(plan.targets, None, by_layers=plan.is_by_layers)
    except EdgeSpiralError:
        return  # told under its own key
    profiles_with(plan.targets, plan.runtime, by_layers=plan.is_by_layers)


def _check_precision(precision: Precision | Literal["auto"] | None, targets: Sequence[str]) -> None:
    from edgespiral.core.option import flag
    from edgespiral.export.recipe import Recipe
    from edgespiral.measure.profile import load_profiles
    from edgespiral.spiral.student.precisions import Precisions

    try:
        profiles = load_profiles(targets)
    except EdgeSpiralError:
        return  # told under its own key
    try:
        Precisions.shared(precision, profiles, Recipe.model_validate({"schema": 1, "name": "any"}))
    except UsageError as error:
        place = error.where if error.where != flag("precision") else None
        raise UsageError(error.what, where=place, hint=error.hint) from error


def _check_model(model: str) -> None:
    from edgespiral.core.factory import is_factory
    from edgespiral.models.catalog import require_known

    if is_factory(model):
        _check_file(model)
    else:
        require_known(model)


def _check_weights(model: str, weights: Path | None) -> None:
    from edgespiral.models import is_built_untrained

    if weights is None and is_built_untrained(model):
        raise UsageError("is missing", hint=f"{model} comes without trained weights")
    if weights is None:
        return
    whole = weights.with_name(weights.name.rpartition(":")[0] or weights.name)
    if not weights.is_file() and not whole.is_file():
        raise UsageError("no such file", where=str(weights))


def _check_data(spec: str) -> None:
    from edgespiral.core.factory import is_factory
    from edgespiral.data.catalog import check_name

    check_name(spec)
    source, _, rest = spec.partition(":")
    folder = Path(rest.partition("?")[0])
    if source in FOLDERS:
        if not folder.is_dir():
            raise UsageError("no such folder", where=str(folder))
    elif is_factory(spec):
        _check_file(spec)


def _check_file(spec: str) -> None:
    file, _, name = spec.rpartition(":")
    if not file or not name.isidentifier():
        raise UsageError("no factory named", where=spec, hint="write path/to/file.py:factory")
    if not Path(file).is_file():
        raise UsageError("no such file", where=file)
