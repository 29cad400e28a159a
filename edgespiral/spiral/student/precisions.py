"""The precisions that a run may use on its targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgespiral.core.errors import UsageError
from edgespiral.export.precision import PARITY_SAMPLES, ExportRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.core.records.schema import Int8Form, Precision
    from edgespiral.export.recipe import Recipe
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.tasks.base import Task


@dataclass(frozen=True)
class Precisions:
    """What a run may use.

    Attributes:
        wanted: by the plan, or by the target where the plan has none.
        base: that the device runs an unconverted file in.
        possible: those that the device's runtime has kernels for, `base` first.
        recipe: how int8 is calibrated.
        form: of int8 files for the runtime.
    """

    wanted: Precision | Literal["auto"]
    base: Precision
    possible: tuple[Precision, ...]
    recipe: Recipe
    form: Int8Form

    @classmethod
    def of(
        cls, precision: Precision | Literal["auto"] | None, profile: TargetProfile, recipe: Recipe
    ) -> Precisions:
        """The precision that is asked for, or the target's own where none is.

        Raises:
            UsageError: the target's runtime has no kernels for it.
        """
        possible = supported(profile)
        wanted = precision or profile.runtime.precision
        if wanted != "auto" and wanted not in possible:
            raise UsageError(
                f"{wanted} is not to be had on {profile.name}",
                where="--precision" if precision else f"{profile.name}:runtime.precision",
                hint=f"its runtime gains by: {', '.join(possible)}",
            )
        return cls(wanted, possible[0], possible, recipe, form_of(profile))

    @classmethod
    def shared(
        cls,
        precision: Precision | Literal["auto"] | None,
        profiles: Sequence[TargetProfile],
        recipe: Recipe,
    ) -> Precisions:
        """As `of`; several targets share the float file that each runs in its own way.

        Raises:
            UsageError: as `of`, or several targets and a precision that a file is converted to.
        """
        each = [cls.of(precision, profile, recipe) for profile in profiles]
        for profile, precisions in zip(profiles, each, strict=True):
            if len(each) > 1 and precisions.wanted != precisions.base:
                there = f'set precision = "{precisions.base}" there'
                own = "leave it out" if precision else there
                raise UsageError(
                    f"{precisions.wanted} is for runs of one target",
                    where="--precision" if precision else f"{profile.name}:runtime.precision",
                    hint=f"{own}, or start a run for each target",
                )
        return each[0]

    def written(self, precision: Precision) -> Precision:
        """That the file has for the device to run in `precision`."""
        return "fp32" if precision == self.base else precision

    def export_request(self, precision: Precision, *, student: bool, task: Task) -> ExportRequest:
        """An export for `precision`, checked on `PARITY_SAMPLES` samples."""
        return ExportRequest(
            self.written(precision),
            recipe=self.recipe,
            form=self.form,
            samples=PARITY_SAMPLES,
            known_data=student,
            task=task,
        )

    def candidates(self) -> tuple[Precision, ...]:
        """The precisions to try the teacher in, apart from `base`."""
        wanted = self.possible if self.wanted == "auto" else (self.wanted,)
        return tuple(precision for precision in wanted if precision != self.base)


def supported(profile: TargetProfile) -> tuple[Precision, ...]:
    """The precisions that a target's runtime gains by, that of unconverted files first."""
    return profile.capabilities.precisions


def form_of(profile: TargetProfile) -> Int8Form:
    """The form of int8 files that a target is quick with."""
    return profile.capabilities.int8_form


def require_form(profile: TargetProfile, form: Int8Form) -> None:
    """Refuse a target that runs another form of int8 files.

    Raises:
        UsageError: it does.
    """
    if form_of(profile) != form:
        raise UsageError(
            f"{profile.name} runs the {form_of(profile)} form, this is {form}",
            where="--target",
            hint="name a target of that runtime, or another --runtime",
        )


def measuring(profile: TargetProfile) -> TargetProfile:
    """The target as a run measures on it: with a teacher in float beside students in int8."""
    if profile.runtime.precision != "int8":
        return profile
    runtime = profile.runtime.model_copy(update={"precision": supported(profile)[0]})
    return profile.model_copy(update={"runtime": runtime})
