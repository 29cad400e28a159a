"""Target profiles: what runs a model, how to reach the device, and how to measure there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails

from edgespiral.core.config import Choices, unknown_choice
from edgespiral.core.errors import UsageError
from edgespiral.core.records.schema import Line
from edgespiral.core.system.named_files import NamedFiles
from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.measure.settings import (
    AS_WRITTEN,
    Count,
    Milliseconds,
    Positive,
    RuntimeSettings,
    Section,
    TransportSettings,
)
from edgespiral.measure.transports import TRANSPORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgespiral.core.plugins import PluginKind
    from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
    from edgespiral.measure.transports.base import TransportPlugin

PROFILES = NamedFiles("target", "targets", "EDGESPIRAL_TARGETS")


def _section_of(kinds: PluginKind[Any]) -> Callable[[object, ValidationInfo], object]:
    """A validator that hands a table to the settings of the plug-in that its `kind` names.

    Problems are told as those of a choice of records: with the kind before the key.
    """

    def validated(value: object, info: ValidationInfo) -> object:
        if isinstance(value, Section):
            return value
        table: dict[str, object] = value if isinstance(value, dict) else {}
        name = table.get("kind")
        if name is None:
            raise _problem("missing", value)
        if name not in kinds.names():
            raise _problem("value_error", name, error=unknown_choice("kind", name, kinds.names()))
        try:
            return kinds.get(str(name)).settings.model_validate(table, context=info.context)
        except ValidationError as error:
            raise _beneath(str(name), error) from error

    return validated


def _problem(problem: str, value: object, **context: object) -> ValidationError:
    detail = InitErrorDetails(type=problem, loc=("kind",), input=value, ctx=context)
    return ValidationError.from_exception_data("kind", [detail])


def _beneath(kind: str, error: ValidationError) -> ValidationError:
    details = [
        InitErrorDetails(
            type=detail["type"],
            loc=(kind, *detail["loc"]),
            input=detail["input"],
            ctx=detail.get("ctx", {}),
        )
        for detail in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data(error.title, details)


class MeasureProfile(Section):
    """How samples are taken; docs/measuring.md has the figures behind the defaults."""

    warmup_ms: Milliseconds = 50
    rounds: Annotated[int, Field(ge=5)] = 25
    round_ms: Milliseconds = 12
    min_samples: Count = 100
    max_samples: Count = 20_000
    max_temp_c: Positive | None = None


class DeviceProfile(Section):
    """What planning needs to know of the device."""

    channel_multiple: Count = 1
    description: Line = ""


class TargetProfile(Section):
    """One target: a runtime, a transport, and how to measure there (docs/targets.md).

    Attributes:
        name: what commands call it.
        runtime: what runs models there, with its own settings.
        transport: how the device is reached, with its own settings.
        measure: rounds, their length in milliseconds, and what makes a measurement invalid.
        device: what is known of the device, such as the step in which its kernels like channels.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    runtime: Annotated[
        SerializeAsAny[RuntimeSettings],
        BeforeValidator(_section_of(RUNTIMES)),
        Choices(RUNTIMES.names, lambda kind: RUNTIMES.get(kind).settings),
    ]
    transport: Annotated[
        SerializeAsAny[TransportSettings],
        BeforeValidator(_section_of(TRANSPORTS)),
        Choices(TRANSPORTS.names, lambda kind: TRANSPORTS.get(kind).settings),
    ]
    measure: MeasureProfile = MeasureProfile()
    device: DeviceProfile = DeviceProfile()

    @property
    def runtime_plugin(self) -> RuntimePlugin[Any]:
        """What its runtime's kind stands for."""
        return RUNTIMES.get(self.runtime.kind)

    @property
    def transport_plugin(self) -> TransportPlugin[Any]:
        """What its transport's kind stands for."""
        return TRANSPORTS.get(self.transport.kind)

    @property
    def capabilities(self) -> Capabilities:
        """What its runtime can do, set as it is here."""
        return self.runtime_plugin.capabilities(self.runtime)

    @property
    def tells_outputs(self) -> bool:
        """Whether its runtime tells what a model computes."""
        return self.runtime_plugin.make_outputs is not None


def load_profile(name_or_path: str | Path, *, as_written: bool = False) -> TargetProfile:
    """The profile of a name or of a TOML file.

    A name is looked for in `./targets`, then in the folders of `$EDGESPIRAL_TARGETS`, then among
    those that come with EdgeSpiral.

    Args:
        name_or_path: of the profile.
        as_written: leave `$NAME` where the environment has no such variable; only to show it.

    Raises:
        UsageError: no such profile, with the nearest names; or all problems of its file.

    Example:
        >>> from edgespiral import load_profile
        >>> profile = load_profile("host-cpu")
        >>> profile.runtime.kind, profile.transport.kind
        ('onnxruntime', 'local')
    """
    return PROFILES.load(name_or_path, TargetProfile, AS_WRITTEN if as_written else None)


def load_profiles(names_or_paths: Sequence[str | Path]) -> list[TargetProfile]:
    """The profiles of several targets, which records tell apart by name.

    Raises:
        UsageError: as `load_profile`, or two of them have the same name.
    """
    profiles = [load_profile(target) for target in names_or_paths]
    names = [profile.name for profile in profiles]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two targets have the name {twice!r}",
            where="--target",
            hint="give each profile a name of its own",
        )
    return profiles


def list_profiles() -> dict[str, Path]:
    """The file of every profile that can be had by name, by name."""
    return PROFILES.by_name()
