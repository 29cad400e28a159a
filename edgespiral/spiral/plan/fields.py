"""The plan: everything a compression run is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgespiral.core.config import config_errors
from edgespiral.core.errors import UsageError
from edgespiral.core.records.schema import Record
from edgespiral.spiral.plan import goals
from edgespiral.spiral.plan.cutting_fields import CuttingFields
from edgespiral.spiral.plan.field import CUTTING, plan_field
from edgespiral.spiral.plan.subject_fields import SubjectFields
from edgespiral.spiral.plan.training_fields import VIEWS_FROM_EPOCHS, TrainingFields
from edgespiral.spiral.plan.values import File, Texts


# The fields of the last class come first: what is compressed, how, and how it then learns.
class Plan(TrainingFields, CuttingFields, SubjectFields, Record):
    """What to compress, how far, and by what means; `docs/plan.md` explains each field.

    All that is said of a field is said where it is declared, here or in one of the classes that
    this one is made of; `make plan` writes the options of the command line and the table of
    `docs/plan.md` from it.

    The budget is a median latency or a speed-up, one for all targets or for each by its name. Sizes
    are budgets too, beside it or alone; with `max_drop` alone, the fastest model that holds it is
    looked for. Paths are relative to the current folder.
    `model` and `data` are needed in a plan of the command line; in Python, `compress` takes them
    beside the plan.

    Raises:
        UsageError: a value that `docs/plan.md` does not allow, an unknown field, no goal, or not
            exactly one latency for each target; all problems at once, each with its field.

    Example:
        >>> from edgespiral import Plan
        >>> plan = Plan(speedup=2, max_drop=1.5, epochs=4)
        >>> plan.targets, plan.criterion
        (('host-cpu',), 'fisher')
    """

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

    device_samples: Annotated[int, Field(ge=0)] = plan_field(
        512,
        "Validation samples that what ships is run on, on its device; 0: none.",
        pages="[precision.md](precision.md#on-the-device)",
        counts=False,
    )
    explored: File | None = plan_field(
        None,
        "Start from a point that `edgespiral explore` left in this folder.",
        pages="[explore.md](explore.md)",
        group=CUTTING,
    )
    point: Annotated[int, Field(ge=1)] | None = plan_field(
        None, "With `explored`: which point.", pages="[explore.md](explore.md)", group=CUTTING
    )
    latency_cache: File | None = plan_field(
        None,
        "Folder of latencies that earlier runs measured.",
        pages="[allocation.md](allocation.md)",
        shown="~/.cache/edgespiral/latency",
        counts=False,
    )
    shared: File | None = plan_field(
        None,
        "Folder in which runs of one teacher share what they measure of it.",
        pages="[sweep.md](sweep.md)",
        counts=False,
    )
    log: Texts = plan_field(
        (),
        "Where the run's figures are written too: {names}; or `path/to/file.py:make` of a listener "
        "of your own. A list, or the flag once for each.",
        pages="[logging.md](logging.md)",
        shown="nowhere",
        names_of="edgespiral.loggers:LOGGERS",
        counts=False,
    )
    out: File | None = plan_field(None, "Run folder.", shown="runs/MODEL-DATA-TARGET", counts=False)

    # Type checkers know the fields better than this signature does.
    if not TYPE_CHECKING:

        def __init__(self, **fields: object) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                problems = config_errors(error, Plan, lambda key: key or ", ".join(goals.BUDGETS))
                raise UsageError("; ".join(problems)) from error

        # Or validation would go by way of it, and `load_plan` not get at single problems.
        __init__.__pydantic_base_init__ = True

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, the leading one first."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def budgets(self) -> dict[str, dict[str, float]]:
        """The latency that each target is to reach, by its kind, in the targets' order."""
        return {target: self.budget_of(target) for target in self.targets}

    @property
    def is_quality_goal(self) -> bool:
        """Whether there is no budget, so that what may be lost is the goal."""
        return all(getattr(self, kind) is None for kind in goals.KINDS)

    @property
    def is_by_layers(self) -> bool:
        """Whether cuts are shared out by what single layers cost, which a runtime must tell."""
        return self.allocation == "latency"

    @property
    def shows_views(self) -> bool:
        """Whether students see random views: as is asked, or by how many passes they get."""
        return self.epochs >= VIEWS_FROM_EPOCHS if self.augment is None else self.augment

    def budget_of(self, target: str) -> dict[str, float]:
        """The latency that `target` is to reach, by its kind; empty where none is asked for."""
        return goals.latency_of(target, self._latencies)

    @property
    def _latencies(self) -> dict[str, float | dict[str, float] | None]:
        return {kind: getattr(self, kind) for kind in goals.BUDGETS}

    @property
    def is_for_speed(self) -> bool:
        """Whether a latency is to be reached, or the fastest model to be found."""
        return any(self._latencies.values()) or (self.is_quality_goal and not self.smallest)

    @field_validator("memory_mib", "energy_mj")
    @classmethod
    def _beside_another(
        cls, value: float | dict[str, float] | None, info: ValidationInfo
    ) -> float | dict[str, float] | None:
        if value is not None and all(info.data.get(kind) is None for kind in goals.KINDS):
            raise ValueError(f"{info.field_name} {goals.BESIDE_RULE}")
        return value

    @field_validator("smallest")
    @classmethod
    def _without_budget(cls, value: bool, info: ValidationInfo) -> bool:
        budgets = [kind for kind in goals.KINDS if info.data.get(kind) is not None]
        if value and budgets:
            raise ValueError(f"goes with max_drop alone, not with {budgets[0]}")
        return value

    @field_validator("teacher_model")
    @classmethod
    def _teaches(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("teacher") == "previous":
            raise ValueError("teaches nobody where teacher is previous; leave one of them out")
        return value

    @field_validator("family")
    @classmethod
    def _beside_a_budget(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and all(info.data.get(kind) is None for kind in goals.KINDS):
            raise ValueError("needs a budget, such as speedup, that siblings are held against")
        return value

    @model_validator(mode="after")
    def _goals(self) -> Self:
        has_other = not self.is_quality_goal or "max_drop" in self.model_fields_set
        goals.check_point(self.explored, self.point, self.turns)
        goals.check_latencies(self.targets, self._latencies, has_other_goal=has_other)
        goals.check_names(self.targets, (self.memory_mib, self.energy_mj))
        return self
