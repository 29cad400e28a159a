"""Who takes part in a race: each runtime that a target's device may have, set in each way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgespiral.core.errors import TargetError, UsageError
from edgespiral.measure.engine_files import require_timing
from edgespiral.measure.profile import load_profiles
from edgespiral.measure.runtimes import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.measure.profile import TargetProfile
    from edgespiral.measure.settings import RuntimeSettings

ALL, AUTO = "all", "auto"
# What a runtime is told that takes the place of a target's own, if it has such settings.
HANDED_ON = ("threads", "affinity", "precision")


@dataclass(frozen=True)
class Entrant:
    """A target with the runtime that is to run the model there.

    Attributes:
        precision: that float32 files are computed in.
        file: that it runs in place of the race's, such as its int8 form; outputs are held against
            those of the race's all the same.
    """

    profile: TargetProfile
    precision: str
    file: Path | None = None

    @property
    def threads(self) -> int:
        """Of the runtime; 1 where that has none to set."""
        return int(getattr(self.profile.runtime, "threads", 1))


def with_runtime(profile: TargetProfile, name: str, threads: int | None = None) -> TargetProfile:
    """The target with another runtime, which keeps threads, affinity and precision.

    Args:
        profile: of the target; its own runtime stays as it is set.
        name: of a runtime.
        threads: in place of the target's.

    Raises:
        UsageError: there is no such runtime, or it needs settings that only a profile can have.
    """
    return _set(profile, _settings(profile, RUNTIMES.check(name), threads))


def profiles_with(
    targets: Sequence[str], runtime: str | None, *, by_layers: bool
) -> list[TargetProfile]:
    """The profiles of a plan's targets, with the runtime that it names, if it names one.

    Args:
        targets: by name.
        runtime: by name; None for each target's own.
        by_layers: whether the plan needs the times of single layers.

    Raises:
        UsageError: as `load_profiles`, or as `with_runtime`.
        TargetError: models are not timed there, or not layer by layer where that is needed.
    """
    profiles = load_profiles(targets)
    if runtime is not None and runtime != AUTO:
        profiles = [with_runtime(profile, runtime) for profile in profiles]
    for profile in profiles:
        if require_timing(profile) and by_layers and not profile.capabilities.layers:
            raise TargetError(
                f"{profile.runtime.kind} does not tell the times of layers, by which cuts are "
                "shared out",
                where=profile.name,
                hint="share them out without: --allocation uniform or global, or compress on "
                "another runtime and race the result",
            )
    return profiles


def entrants(
    profile: TargetProfile,
    names: Sequence[str] = (ALL,),
    threads: Sequence[int] = (),
    *,
    to_plan_on: bool = False,
    rounded: bool = False,
) -> list[Entrant]:
    """Every runtime that may run there, the target's own first.

    Args:
        profile: of the target.
        names: of runtimes, or `all`: the target's own and those that need nothing set.
        threads: numbers of them to try; the target's own if empty.
        to_plan_on: the target's own runtime as it is set, and of the others those that a run can be
            planned on: they compute float files in float32 and tell the times of layers.
        rounded: of those to plan on, also what computes them in less than float32.

    Raises:
        UsageError: a name is of no runtime, or that needs settings that only a profile can have.
    """
    own = profile.runtime.kind
    wanted = [RUNTIMES.check(name) for name in names if name != ALL]
    if ALL in names:
        racing = [name for name in RUNTIMES.names() if _takes_part(profile, name)]
        wanted += [name for name in (own, *racing) if name not in wanted]
    everyone = [
        Entrant(_set(profile, settings), precision)
        for name in sorted(dict.fromkeys(wanted), key=lambda name: name != own)
        for count in threads or (None,)
        for precision, settings in _ways(_settings(profile, name, count)).items()
    ]
    if not to_plan_on:
        return everyone
    first = Entrant(profile, profile.runtime.float_precision)
    others = [
        other
        for other in everyone
        if other != first
        and other.profile.runtime_plugin.is_planned_on
        and other.profile.capabilities.layers
        and (rounded or (other.precision == "fp32" and other.profile.runtime.kind != own))
    ]
    return [first, *others]


def _ways(settings: RuntimeSettings) -> dict[str, RuntimeSettings]:
    race = RUNTIMES.get(settings.kind).race
    ways = {} if race is None else dict(race(settings))
    return ways or {settings.precision: settings}


def _takes_part(profile: TargetProfile, name: str) -> bool:
    """Whether a runtime races without being named."""
    race = RUNTIMES.get(name).race
    return race is not None and bool(race(_settings(profile, name, None)))


def _set(profile: TargetProfile, settings: RuntimeSettings) -> TargetProfile:
    return profile.model_copy(update={"runtime": settings})


def _settings(profile: TargetProfile, name: str, threads: int | None) -> RuntimeSettings:
    own, kind = profile.runtime, RUNTIMES.get(name).settings
    changes = {} if threads is None else {"threads": threads}
    if name == own.kind:
        if changes and "threads" not in kind.model_fields:
            raise UsageError(f"the runtime {name} has no threads to set", where="--threads")
        return own.model_copy(update=changes)
    handed = {
        key: value
        for key in HANDED_ON
        if key in kind.model_fields and (value := getattr(own, key, None)) is not None
    }
    try:
        settings: RuntimeSettings = kind.model_validate({"kind": name, **handed, **changes})
    except ValidationError as error:
        needed = ", ".join(str(detail["loc"][-1]) for detail in error.errors(include_url=False))
        raise UsageError(
            f"the runtime {name} needs settings that only a profile has: {needed}",
            where="--runtime",
            hint="name a target whose [runtime] has them",
        ) from error
    return settings
